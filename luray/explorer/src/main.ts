/** The page: opens the product, wires map, panel, timeline and card, and keeps the URL. */

import { Map as MapLibreMap, setWorkerUrl } from "maplibre-gl";
import { areasInView } from "./areas";
import { DARK, LIGHT, LIGHT_BELOW_VALUES, type MapColours, addWorld, firstStyle, paintWorld } from "./basemap";
import { Card } from "./card";
import { cellAt } from "./cell";
import { Demand } from "./demand";
import { h, icon, iconButton } from "./dom";
import { NONE } from "./count_change";
import { RAMPS, paletteTexture, rgb } from "./palettes";
import { Panel, mostChanges } from "./panel";
import { type Product, ProductError, openProduct } from "./product";
import { Scene } from "./scene";
import { type Place, type State, fromHash, toHash } from "./state";
import type { StoredTiles } from "./store";
import { Timeline } from "./timeline";
import { NO_VALUE, digits, mostSpread, valueOf, withUnits } from "./values";

/** `explorer.json`, which lies beside the page. */
interface Config {
  /** Place of the product, and of the cube where there is one, as seen from the page. */
  product: string;
  cube?: string;
  /** Tiles that are stored, where the page is not served by `luray view`. */
  tiles?: StoredTiles;
  /** What is missing of a product that is not finished. */
  unfinished?: { done: number; total: number; missing: (number | string)[] };
}

/** Milliseconds between two writes of the URL, and between two counts of areas while playing. */
const URL_EVERY = 300;
const AREAS_EVERY = 120;
/** Screens on which panel and map lie side by side, as in style.css. */
const WIDE = "(min-width: 860px) and (min-height: 520px)";

async function start(): Promise<void> {
  const begun = performance.now();
  const root = document.getElementById("page")!;
  const base = new URL(".", document.baseURI);
  const world = fetch(new URL("world.json", base)).then((response) => response.json());
  world.catch(() => {});
  const response = await fetch(new URL("explorer.json", base));
  if (!response.ok) throw new ProductError("There is no explorer.json beside this page.");
  const config: Config = await response.json();
  const product = await openProduct(new URL(config.product, base), config.tiles);
  document.title = `${product.title} · luray`;
  if (!hasWebGL()) {
    throw new ProductError(
      "This browser has no WebGL 2, with which the map is drawn. Switch on hardware acceleration " +
        "in its settings, or open the page in another browser. The product itself can be read " +
        "with luray.open_product in Python.",
    );
  }
  new Page(root, product, config, base, world, begun);
}

/** Scale down both margins of a length where they leave less than a third of it for the map. */
function leavingRoom(start: number, end: number, length: number): [number, number] {
  const share = Math.min(1, (0.65 * length) / (start + end));
  return [start * share, end * share];
}

function hasWebGL(): boolean {
  try {
    return document.createElement("canvas").getContext("webgl2") !== null;
  } catch {
    return false;
  }
}

class Page {
  private state: State;
  private scene!: Scene;
  private map!: MapLibreMap;
  private panel: Panel;
  private timeline: Timeline;
  private card: Card;
  private divider: HTMLElement;
  private hover = h("div", { class: "tip surface", "aria-hidden": "true" });
  private live = h("p", { class: "sr-only", "aria-live": "polite" });
  private toast = h("p", { class: "toast surface", role: "status" });
  private notices = h("div", { class: "notices" });
  private partNotice?: HTMLElement;
  private projection: HTMLButtonElement;
  private missing: Set<number>;
  private help: HTMLDialogElement;
  private darkMedia = matchMedia("(prefers-color-scheme: dark)");
  private areasAt = 0;
  private areasTimer = 0;
  private urlTimer = 0;
  private toastTimer = 0;
  private isPictured = false;

  constructor(
    private root: HTMLElement,
    private product: Product,
    config: Config,
    base: URL,
    world: Promise<any>,
    private begun: number,
  ) {
    const { state, faults } = fromHash(location.hash, product);
    this.state = state;
    this.missing = new Set(
      (config.unfinished?.missing ?? []).map((year) => product.steps.labels.indexOf(String(year))),
    );
    const get = () => this.state;
    const demand = config.cube
      ? Demand.open(new URL(config.cube, base), product).catch(() => undefined)
      : Promise.resolve(undefined);

    const mapElement = h("div", { id: "map", role: "region", "aria-label": "Map" });
    this.applyTheme();
    this.map = this.makeMap(mapElement);
    this.scene = new Scene(product, this.map, get, () =>
      this.timeline?.playing ? { direction: 1, speed: this.timeline.speed } : undefined,
    );
    const close = iconButton("close", "Hide the panel", () => this.togglePanel(false));
    close.classList.add("phone-only");
    this.panel = new Panel(product, get, { set: (change) => this.set(change) }, this.notices, close);
    this.timeline = new Timeline(
      product,
      this.missing,
      get,
      (year) => this.set({ a: { ...this.state.a, year } }),
      (year) => this.scene.isLoaded(year),
      () => this.scene.schedule(),
    );
    this.card = new Card(
      product,
      this.scene.chunks,
      demand,
      get,
      (year) => this.set({ a: { ...this.state.a, year } }),
      () => this.closeCell(),
    );
    this.divider = this.makeDivider();
    this.projection = iconButton("globe", "", () => {
      const projection = this.state.projection === "globe" ? "mercator" : "globe";
      this.set({ projection });
    });
    this.projection.id = "projection";
    this.help = this.makeHelp();
    const skip = h("a", { class: "skip", href: "#year" }, "Skip to the years");
    skip.addEventListener("click", (event) => {
      event.preventDefault();
      document.getElementById("year")!.focus();
    });
    this.toast.hidden = true;
    this.hover.hidden = true;
    root.replaceChildren(
      skip,
      mapElement,
      this.divider,
      this.panel.element,
      this.makeTools(),
      this.card.element,
      this.timeline.element,
      this.hover,
      this.toast,
      this.help,
      this.live,
    );
    this.map.resize();
    if (this.state.camera === undefined) this.goHome();
    this.listen();
    this.tellNotices(config, faults);

    this.map.on("style.load", () => {
      if (this.map.getLayer(this.scene.layer.id) !== undefined) return;
      this.map.addLayer(this.scene.layer);
      this.scene.viewChanged();
      void world.then((data) => addWorld(this.map, data, this.colours, this.scene.layer.id));
    });
    this.scene.onPicture = () => this.pictureChanged();
    this.scene.layer.onFrame = () => this.frameDrawn();
    this.show();
    Object.assign(window, { explorer: this });
  }

  // What tests and readers of the console ask

  /** Milliseconds from the start of the page to its first picture; 0 before. */
  firstPicture = 0;

  get settled(): boolean {
    return this.isPictured && this.scene.isSettled;
  }

  /** Codes of the cell that was clicked, one a year, once all have come. */
  get cellSeries(): number[] | undefined {
    return this.card.isComplete ? (this.card.series as number[]) : undefined;
  }

  /** Everything that is drawn, for tests: where a place is on the screen. */
  project(lon: number, lat: number): [number, number] {
    const { x, y } = this.map.project([lon, lat]);
    return [x, y];
  }

  get drawnLevel(): number {
    return this.scene.drawn.level;
  }

  get progress(): number {
    return this.scene.progress;
  }

  get maplibre(): MapLibreMap {
    return this.map;
  }

  // The state

  set(change: Partial<State>): void {
    const before = this.state;
    this.state = { ...before, ...change };
    if (change.projection) this.map.setProjection({ type: change.projection });
    if (change.theme) this.applyTheme();
    this.show();
    if (change.a && change.a.year !== before.a.year && !this.timeline.playing) this.sayYear();
  }

  private show(): void {
    this.panel.show();
    this.timeline.show();
    this.card.show();
    this.root.classList.toggle("with-card", !this.card.element.hidden);
    this.showDivider();
    this.updatePalette();
    const isGlobe = this.state.projection === "globe";
    const label = isGlobe ? "Show a flat map" : "Show a globe";
    this.projection.replaceChildren(icon(isGlobe ? "flat" : "globe"));
    this.projection.setAttribute("aria-label", label);
    this.projection.title = `${label} (g)`;
    this.scene.viewChanged();
    this.writeUrl();
  }

  private writeUrl(): void {
    window.clearTimeout(this.urlTimer);
    this.urlTimer = window.setTimeout(() => {
      history.replaceState(null, "", toHash(this.state, this.product));
    }, URL_EVERY);
  }

  private sayYear(): void {
    const { year } = this.state.a;
    this.live.textContent = `${this.product.steps.labels[year]}, ${this.product.origins[year]}`;
  }

  private get isDark(): boolean {
    const { theme } = this.state;
    return theme === "dark" || (theme === "auto" && this.darkMedia.matches);
  }

  private get colours(): MapColours {
    const light = this.product.scale === undefined ? LIGHT : LIGHT_BELOW_VALUES;
    return this.isDark ? DARK : light;
  }

  private applyTheme(): void {
    document.documentElement.dataset.theme = this.isDark ? "dark" : "light";
    if (this.map?.isStyleLoaded()) paintWorld(this.map, this.colours);
  }

  private updatePalette(): void {
    const { layer, palette, hidden, ofClass } = this.state;
    const quiet = this.isDark ? "#46525d" : "#dcdad3";
    const { scale, steps } = this.product;
    const last = Math.min(254, steps.labels.length - 1);
    const ofValues = scale && {
      spread: { colours: RAMPS.spread, low: 0, high: mostSpread(scale) },
      difference: { colours: RAMPS.difference, low: 0, high: 254 },
    };
    const ramps = {
      ...ofValues,
      confidence: { colours: RAMPS.confidence, low: 0, high: 100 },
      probability: { colours: RAMPS.probability, low: 0, high: 100 },
      first_change: { colours: RAMPS.years, low: 0, high: last },
      changes: { colours: RAMPS.counts, low: 1, high: mostChanges(this.product) },
    };
    const ramp = layer in ramps ? ramps[layer as keyof typeof ramps] : undefined;
    let off = layer === "land_use" || layer === "difference" ? hidden : new Set<number>();
    if (layer === "probability" && this.product.probability === undefined) {
      const others = this.product.classes.filter(({ code }) => code !== ofClass);
      off = new Set(others.map(({ code }) => code));
    }
    const theme = { ocean: this.colours.ocean, quiet };
    const texture = paletteTexture(this.product, palette, theme, off, ramp);
    if (layer === "changes") texture.set([...rgb(quiet), 255], 256 * 4); // 0 changes
    if (layer === "first_change") texture.set([...rgb(quiet), 255], (256 + NONE) * 4);
    this.scene.layer.quiet = rgb(quiet);
    this.scene.layer.setPalette(texture);
  }

  // The map

  private makeMap(container: HTMLElement): MapLibreMap {
    setWorkerUrl(new URL("worker.js", document.baseURI).href);
    const { camera, projection } = this.state;
    const map = new MapLibreMap({
      container,
      style: firstStyle(this.colours, projection),
      attributionControl: false,
      minZoom: 0.3,
      maxZoom: 12,
      maxPitch: 0,
      pitchWithRotate: false,
      dragRotate: false,
      fadeDuration: 0,
      canvasContextAttributes: { antialias: false, preserveDrawingBuffer: true },
      locale: { "Map.Title": `Map of ${this.product.maps.title.toLowerCase()}` },
    });
    map.touchZoomRotate.disableRotation();
    map.keyboard.disableRotation();
    if (camera) map.jumpTo({ center: [camera.lon, camera.lat], zoom: camera.zoom });
    return map;
  }

  /** Show the whole product. */
  private goHome(animate = false): void {
    const { map } = this;
    const level = this.product.levels[0];
    const west = level.west;
    const east = west + level.cols * level.step;
    const south = level.north - level.rows * level.step;
    const isWide = matchMedia(WIDE).matches;
    const wanted = isWide
      ? { left: 340, right: 80, top: 40, bottom: 150 }
      : { left: 16, right: 16, top: 70, bottom: 130 };
    const [left, right] = leavingRoom(wanted.left, wanted.right, innerWidth);
    const [top, bottom] = leavingRoom(wanted.top, wanted.bottom, innerHeight);
    const padding = { left, right, top, bottom };
    if (east - west > 180) {
      const fit = Math.min(innerWidth - left - right, innerHeight - top - bottom + 40);
      const zoom = Math.log2((Math.max(60, fit) * Math.PI) / 512) - 0.06;
      const offset: [number, number] = isWide ? [135, -45] : [0, -20];
      map.easeTo({ center: [12, 22], zoom, offset, duration: animate ? 900 : 0 });
      return;
    }
    const bounds: [number, number, number, number] = [west, south, east, level.north];
    map.fitBounds(bounds, { padding, duration: animate ? 900 : 0, maxZoom: 9 });
  }

  private listen(): void {
    const noteCamera = () => {
      const { lat, lng } = this.map.getCenter();
      this.state = { ...this.state, camera: { lat, lon: lng, zoom: this.map.getZoom() } };
      this.writeUrl();
    };
    noteCamera();
    this.map.on("moveend", noteCamera);
    this.map.on("click", (event) => {
      const place = { lat: event.lngLat.lat, lon: event.lngLat.lng };
      const inside = cellAt(this.product.levels[0], place) !== undefined;
      this.set({ cell: inside ? place : undefined });
    });
    this.map.on("mousemove", (event) => this.showHover(event.point, event.lngLat));
    this.map.on("mouseout", () => (this.hover.hidden = true));
    this.map.on("movestart", () => (this.hover.hidden = true));
    this.darkMedia.addEventListener("change", () => {
      this.applyTheme();
      this.updatePalette();
    });
    addEventListener("hashchange", () => {
      const { state, faults } = fromHash(location.hash, this.product);
      const { camera } = state;
      if (camera) this.map.jumpTo({ center: [camera.lon, camera.lat], zoom: camera.zoom });
      this.set({ cell: undefined, ...state });
      if (faults.length > 0) this.say(faults.join(" "), 8000);
    });
    addEventListener("keydown", (event) => this.onKey(event));
  }

  private onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as HTMLElement;
    const isField = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) && target.id !== "year";
    const isButton = target.tagName === "BUTTON" || target.tagName === "A";
    if (isField || this.help.open) return;
    const { a } = this.state;
    const { perYear, labels } = this.product.steps;
    const last = labels.length - 1;
    const far = perYear === 1 ? 10 : perYear;
    const go = (year: number) => {
      this.timeline.pause();
      this.set({ a: { ...a, year: Math.min(last, Math.max(0, year)) } });
    };
    // on the map the arrows pan, as MapLibre has it
    const isMap = this.map.getCanvas() === target;
    const keys: Record<string, () => void> = {
      " ": () => this.timeline.toggle(),
      ",": () => go(a.year - 1),
      ".": () => go(a.year + 1),
      PageDown: () => go(a.year - far),
      PageUp: () => go(a.year + far),
      Home: () => go(0),
      End: () => go(last),
      g: () => this.projection.click(),
      s: () => this.set({ swipe: !this.state.swipe }),
      "?": () => this.help.showModal(),
      Escape: () => this.closeCell(),
    };
    if (!isMap) {
      keys.ArrowLeft = () => go(a.year - 1);
      keys.ArrowRight = () => go(a.year + 1);
    }
    if (isMap) {
      keys.Enter = () => {
        const { lat, lng } = this.map.getCenter();
        this.set({ cell: { lat, lon: lng } });
        this.card.element.focus();
      };
    }
    const action = keys[event.key];
    if (action === undefined || (isButton && event.key === " ")) return;
    event.preventDefault();
    action();
  }

  private closeCell(): void {
    if (this.state.cell === undefined) return;
    this.set({ cell: undefined });
    this.map.getCanvas().focus({ preventScroll: true });
  }

  /** Say what the cell under the pointer is. */
  private showHover(point: { x: number; y: number }, at: { lng: number; lat: number }): void {
    const text = this.textAt({ lat: at.lat, lon: at.lng }, point.x);
    this.hover.hidden = text === undefined;
    if (text === undefined) return;
    this.hover.textContent = text;
    const left = Math.min(point.x + 14, innerWidth - this.hover.offsetWidth - 8);
    this.hover.style.transform = `translate(${left}px, ${point.y + 16}px)`;
  }

  private textAt(place: Place, x: number): string | undefined {
    const { drawn, chunks } = this.scene;
    const level = this.product.levels[drawn.level];
    const cell = cellAt(level, place);
    if (cell === undefined) return undefined;
    const row = Math.floor(cell.row / level.chunk);
    const col = Math.floor(cell.col / level.chunk);
    const { swipe, swipeAt, layer } = this.state;
    const side = swipe && x > swipeAt * this.map.getCanvas().clientWidth ? "b" : "a";
    const selection = this.scene.shown(side);
    const tile = { level: drawn.level, row, col, turn: 0 };
    const codes = chunks.get(this.scene.codesOf(tile, selection));
    if (codes === undefined) return undefined;
    const i = (cell.row % level.chunk) * level.chunk + (cell.col % level.chunk);
    const nameOf = (code: number) => this.product.classes.find((land) => land.code === code)?.name;
    const name = nameOf(codes[i]);
    if (name === undefined) return undefined;
    const { scale, steps } = this.product;
    const years = steps.labels;
    if (scale !== undefined) {
      const value = withUnits(scale, valueOf(scale, codes[i]));
      const second = this.scene.secondValue(tile, selection, i);
      if (layer === "land_use" || second === undefined) return value;
      if (layer === "spread") {
        if (second === NO_VALUE) return `${value}, observed`;
        return `${value}, spread ${digits(scale, second * scale.step)}`;
      }
      if (second === NO_VALUE) return `${value}, none in ${years[this.state.b.year]}`;
      const more = (codes[i] - second) * scale.step;
      const sign = more > 0 ? "+" : "";
      const before = digits(scale, valueOf(scale, second));
      return `${years[this.state.b.year]} ${before}, ${years[selection.year]} ${value}: ${sign}${digits(scale, more)}`;
    }
    if (layer === "first_change" || layer === "changes") {
      const changes = this.scene.changes.get(tile, selection);
      if (changes === undefined) return name;
      const first = changes.first[i];
      if (first === NONE) return `${name}, never changes`;
      const n = changes.count[i];
      return `${name}, first change ${years[first]}, ${n} change${n > 1 ? "s" : ""}`;
    }
    if (layer === "difference") {
      const other = chunks.get(this.scene.codesOf(tile, this.scene.shown("b")));
      const from = other && nameOf(other[i]);
      if (from === undefined || from === name) return `${name}, the same`;
      return `${years[this.state.b.year]} ${from}, ${years[selection.year]} ${name}`;
    }
    const second = this.scene.secondValue(tile, selection, i);
    return second === undefined ? name : `${name}, ${second} %`;
  }

  private pictureChanged(): void {
    const { layer } = this.state;
    const counts = layer === "first_change" || layer === "changes";
    this.panel.showProgress(counts ? this.scene.progress : undefined);
    const { isPart } = this.scene.drawn;
    if (this.partNotice !== undefined) this.partNotice.hidden = !isPart;
    else if (isPart) this.tellPart();
    if (layer !== "land_use" && layer !== "difference") return;
    const now = performance.now();
    window.clearTimeout(this.areasTimer);
    const count = () => {
      this.areasAt = performance.now();
      const { a } = { a: this.scene.shown("a") };
      this.panel.showAreas(areasInView(this.product, this.scene, this.scene.chunks, a));
    };
    if (now - this.areasAt > AREAS_EVERY) count();
    else this.areasTimer = window.setTimeout(count, AREAS_EVERY);
  }

  private frameDrawn(): void {
    if (this.isPictured || this.scene.layer.pictures[0]?.pieces.length === 0) return;
    this.isPictured = true;
    this.firstPicture = performance.now();
    this.root.classList.add("pictured");
    performance.measure("first picture", { start: this.begun, end: this.firstPicture });
  }

  // Parts of the page

  private makeDivider(): HTMLElement {
    const divider = h(
      "div",
      {
        class: "divider",
        role: "slider",
        tabindex: 0,
        "aria-label": "Where the screen is parted",
        "aria-valuemin": 0,
        "aria-valuemax": 100,
      },
      h("span", { class: "divider-label left" }),
      h("span", { class: "divider-grip" }),
      h("span", { class: "divider-label right" }),
    );
    const move = (at: number) => this.set({ swipeAt: Math.min(0.98, Math.max(0.02, at)) });
    divider.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      divider.setPointerCapture(event.pointerId);
      const follow = (moved: PointerEvent) => move(moved.clientX / innerWidth);
      divider.addEventListener("pointermove", follow);
      const stop = () => divider.removeEventListener("pointermove", follow);
      divider.addEventListener("pointerup", stop, { once: true });
      divider.addEventListener("pointercancel", stop, { once: true });
    });
    divider.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      move(this.state.swipeAt + step);
    });
    return divider;
  }

  private showDivider(): void {
    const { swipe, swipeAt, a, b } = this.state;
    this.divider.hidden = !swipe;
    this.divider.style.left = `${100 * swipeAt}%`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(100 * swipeAt)));
    const { steps, scenarios, members } = this.product;
    const label = (selection: State["a"]) =>
      [
        steps.labels[selection.year],
        scenarios.length > 1 && a.scenario !== b.scenario && scenarios[selection.scenario],
        members > 1 && a.member !== b.member && `member ${selection.member}`,
      ]
        .filter(Boolean)
        .join(" · ");
    this.divider.querySelector(".left")!.textContent = label(a);
    this.divider.querySelector(".right")!.textContent = label(b);
  }

  private makeTools(): HTMLElement {
    const themes = { auto: "dark", dark: "light", light: "auto" } as const;
    const safe = iconButton("eye", "Colours for colour-blind readers", () => {
      const palette = this.state.palette === "safe" ? "legend" : "safe";
      this.set({ palette });
      safe.setAttribute("aria-pressed", String(palette === "safe"));
    });
    safe.id = "palette";
    // The colours of values differ in lightness.
    safe.hidden = this.product.scale !== undefined;
    safe.setAttribute("aria-pressed", String(this.state.palette === "safe"));
    const theme = iconButton("theme", "Light or dark", () => {
      const dark = this.isDark;
      const next = this.state.theme === "auto" ? (dark ? "light" : "dark") : themes[this.state.theme];
      this.set({ theme: next });
      this.say(next === "auto" ? "Colours follow the system." : `Colours are ${next}.`);
    });
    theme.id = "theme";
    const share = iconButton("share", "Copy the link to this view", () => void this.share());
    share.id = "share";
    const panel = iconButton("layers", "Layers and legend", () => this.togglePanel());
    panel.id = "open-panel";
    panel.classList.add("phone-only");
    const home = iconButton("home", "Show the whole product", () =>
      this.goHome(true),
    );
    return h(
      "div",
      { class: "tools", role: "toolbar", "aria-label": "Map tools" },
      h("div", { class: "group surface phone-only" }, panel),
      h(
        "div",
        { class: "group surface desktop-only" },
        iconButton("plus", "Zoom in", () => this.map.zoomIn()),
        iconButton("minus", "Zoom out", () => this.map.zoomOut()),
      ),
      h("div", { class: "group surface" }, home, this.projection),
      h("div", { class: "group surface" }, safe, theme, share, iconButton("help", "Keys and sources", () => this.help.showModal())),
    );
  }

  private togglePanel(open?: boolean): void {
    const isOpen = this.root.classList.toggle("panel-open", open);
    if (isOpen) this.panel.element.querySelector<HTMLElement>("input:checked")?.focus();
    else document.getElementById("open-panel")?.focus();
  }

  private async share(): Promise<void> {
    const hash = toHash(this.state, this.product);
    history.replaceState(null, "", hash);
    const url = new URL(hash, location.href).href;
    try {
      await navigator.clipboard.writeText(url);
      this.say("The link to this view is copied.");
    } catch {
      this.say("The address of the page is the link to this view.");
    }
  }

  private makeHelp(): HTMLDialogElement {
    const { name, perYear } = this.product.steps;
    const keys: [string, string][] = [
      ["Space", "play, pause"],
      [", .  or  ← →", `a ${name} back, on`],
      ["Page ↓, Page ↑", `${perYear === 1 ? "ten years" : "a year"} back, on`],
      ["Home, End", `first, last ${name}`],
      ["g", "globe or flat map"],
      ["s", "swipe between two maps"],
      ["Enter on the map", "the cell in its middle"],
      ["Esc", "close the cell"],
    ];
    const rows = keys.map(([key, text]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, text)));
    const caveats = this.product.caveats.map((caveat) => h("li", {}, caveat));
    const dialog = h(
      "dialog",
      { class: "surface help", "aria-label": "Keys and sources" },
      h("h2", {}, "Keys"),
      h("table", {}, h("tbody", {}, ...rows)),
      caveats.length > 0 && h("h2", {}, "Caveats"),
      caveats.length > 0 && h("ul", {}, ...caveats),
      h("p", { class: "note" }, "Drawn by luray from the product's Zarr store, with MapLibre GL JS and zarrita. Coastlines and borders: Natural Earth, which are in the public domain; they are for orientation."),
      h("form", { method: "dialog" }, h("button", { class: "button text-button" }, "Close")),
    );
    return dialog;
  }

  private say(text: string, milliseconds = 3000): void {
    this.toast.textContent = text;
    this.toast.hidden = false;
    window.clearTimeout(this.toastTimer);
    this.toastTimer = window.setTimeout(() => (this.toast.hidden = true), milliseconds);
  }

  private tell(text: string): HTMLElement {
    const notice = h("p", { class: "notice", role: "status" }, text);
    this.notices.append(notice);
    return notice;
  }

  private tellNotices(config: Config, faults: string[]): void {
    for (const fault of faults) this.tell(fault);
    const isPanelShown = this.panel.element.offsetParent !== null;
    if (faults.length > 0 && !isPanelShown) this.say(faults.join(" "), 8000);
    const { unfinished } = config;
    if (unfinished !== undefined) {
      const { missing, done, total } = unfinished;
      const { name, plural } = this.product.steps;
      const years = missing.length === 1 ? `1 ${name} is` : `${missing.length} ${plural} are`;
      this.tell(
        `This product is not finished: ${done} of ${total} tile-years are there, ${years} ` +
          "incomplete, hatched on the time line. What is missing looks like ocean. " +
          "`luray infer` goes on with it.",
      );
    } else if (!this.product.finished) {
      this.tell(
        "This product is not finished. What is missing looks like ocean. `luray infer` goes on " +
          "with it, `luray status` says how far it is.",
      );
    }
  }

  private tellPart(): void {
    const hasOverviews = this.product.levels.length > 1;
    this.partNotice = this.tell(
      hasOverviews
        ? "This layer exists at full resolution only, so that at this zoom the middle of the map " +
            "alone is drawn. Zoom in to see all of the view."
        : "This product has no overviews, so that at this zoom the middle of the map alone is " +
            "drawn. Zoom in, or infer it again with product.overview_cells = 1000 in the run file.",
    );
  }
}

/** Say what went wrong in place of the page. */
function fail(error: unknown): void {
  const root = document.getElementById("page")!;
  const message = error instanceof ProductError ? error.message : `The product cannot be read: ${error}`;
  root.replaceChildren(
    h(
      "main",
      { class: "failure" },
      h("h1", {}, "There is nothing to show"),
      h("p", { role: "alert" }, message),
    ),
  );
}

void start().catch(fail);

