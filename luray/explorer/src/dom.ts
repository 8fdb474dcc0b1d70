/** Making elements of the page. */

type Child = Node | string | undefined | false;
type Attributes = Record<string, string | number | boolean | undefined | ((event: any) => void)>;

/** Make an element: attributes that begin with `on` are listeners; those undefined are left out. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/** Paths of icons on a grid of 24, drawn with a stroke. */
const ICONS = {
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8.5 6v12M15.5 6v12",
  close: "M6 6l12 12M18 6L6 18",
  globe: "M12 3.5a8.5 8.5 0 100 17 8.5 8.5 0 000-17zM3.5 12h17M12 3.5c5 5.2 5 11.800 0 17M12 3.5c-5 5.2-5 11.800 0 17",
  flat: "M3.500 6.500l5.500-2 6 2 5.500-2v13l-5.500 2-6-2-5.500 2zM9 4.500v13M15 6.500v13",
  plus: "M12 5.500v13M5.500 12h13",
  minus: "M5.500 12h13",
  home: "M4 11.500L12 5l8 6.500M6.500 10v9h11v-9",
  eye: "M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12zM12 9.500a2.500 2.500 0 100 5 2.500 2.500 0 000-5z",
  theme: "M12 4a8 8 0 100 16 8 8 0 000-16zM12 4v16M12 7.500h5.500M12 11h7.500M12 14.500h7M12 18h4",
  share: "M12 14.500V4M8 7.500L12 4l4 3.500M5.500 12v7.500h13V12",
  layers: "M12 4l8.500 4.500L12 13 3.500 8.500zM4 12.500l8 4.300 8-4.300M4 16.300l8 4.200 8-4.200",
  help: "M9.300 9.200a2.800 2.800 0 115 1.800c-.9.9-2.200 1.400-2.200 3M12 17.500v.3M12 3.500a8.500 8.500 0 100 17 8.500 8.500 0 000-17z",
} as const;

export function icon(name: keyof typeof ICONS): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon", `icon-${name}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon alone; its label is told to screen readers and as a tooltip. */
export function iconButton(
  name: keyof typeof ICONS,
  label: string,
  onclick: () => void,
): HTMLButtonElement {
  const attributes = { type: "button", class: "button icon-button", "aria-label": label, title: label };
  return h("button", { ...attributes, onclick }, icon(name));
}

/** Give a canvas the size that it has on the page, in device pixels. */
export function fitCanvas(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d")!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  return context;
}
