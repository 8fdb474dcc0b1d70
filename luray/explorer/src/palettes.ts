/** Colours: the legend's own, a set that colour-blind readers can tell apart, and ramps. */

import type { LandClass, Product } from "./product";

export type PaletteName = "legend" | "safe";

/**
 * Colours by words in the name of a class, told apart under deuteranopia, protanopia and
 * tritanopia: those of Okabe & Ito (2008), in the lightness that a map needs.
 */
const SAFE: [RegExp, string][] = [
  [/urban|built|settle/, "#cc3311"],
  [/crop|agricult/, "#f0c808"],
  [/pasture|rangeland|graz/, "#cc79a7"],
  [/forest|tree|wood/, "#006d5b"],
  [/grass|shrub|savanna/, "#7bc8e8"],
  [/sparse|barren|bare|desert/, "#d9d3c7"],
  [/water|lake|river/, "#0a4a8f"],
  [/wet|mangrove/, "#6a51a3"],
  [/ice|snow|glacier/, "#ffffff"],
];
/** For classes whose name says none of this, in this order. */
const SAFE_OTHERS = ["#e69f00", "#56b4e9", "#009e73", "#d55e00", "#999999", "#882255", "#332288"];

export function coloursOf(classes: LandClass[], palette: PaletteName): Map<number, string> {
  const colours = new Map<number, string>();
  const others = [...SAFE_OTHERS];
  const taken = new Set<string>();
  for (const { code, name, colour } of classes) {
    if (palette === "legend") {
      colours.set(code, colour);
      continue;
    }
    const match = SAFE.find(([words, safe]) => words.test(name) && !taken.has(safe));
    const safe = match?.[1] ?? others.shift() ?? colour;
    taken.add(safe);
    colours.set(code, safe);
  }
  return colours;
}

export function rgb(colour: string): [number, number, number] {
  const number = parseInt(colour.slice(1), 16);
  return [(number >> 16) & 255, (number >> 8) & 255, number & 255];
}

export type Ramp = readonly string[];

/** From low to high. Ramps differ in lightness, so that every reader can order their colours. */
export const RAMPS = {
  /** Percent. Light is certain. */
  confidence: ["#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#fcfdbf"],
  /** Percent of a class. */
  probability: ["#f2f0ec", "#c7dfd0", "#7dbfa5", "#31907c", "#0b5345"],
  /** Years, from the first to the last. */
  years: ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"],
  /** Standard deviation of a value. Light is certain. */
  spread: ["#fcfdbf", "#fe9f6d", "#de4968", "#8c2981", "#3b0f70"],
  /** Difference of two values: less, the same, more. */
  difference: ["#543005", "#bf812d", "#f6e8c3", "#f5f5f5", "#c7eae5", "#35978f", "#003c30"],
  /** Numbers of changes. */
  counts: ["#fde0c5", "#f9a873", "#e8604c", "#a52c60", "#420a4c"],
} satisfies Record<string, Ramp>;

/** Return the colour at a place of a ramp, 0 to 1. */
export function onRamp(ramp: Ramp, at: number): [number, number, number] {
  const position = Math.min(1, Math.max(0, at)) * (ramp.length - 1);
  const below = Math.min(ramp.length - 2, Math.floor(position));
  const share = position - below;
  const [a, b] = [rgb(ramp[below]), rgb(ramp[below + 1])];
  return [0, 1, 2].map((i) => Math.round(a[i] + (b[i] - a[i]) * share)) as [number, number, number];
}

export function css([red, green, blue]: readonly number[]): string {
  return `rgb(${red} ${green} ${blue})`;
}

export function hex(colour: readonly number[]): string {
  return `#${colour.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** Kinds of codes, in the alpha of the palette texture. */
export const OFF_LAND = 0;
export const HIDDEN = 128;
export const SHOWN = 255;

export interface Theme {
  ocean: string;
  /** Land of a class that is hidden, or without change. */
  quiet: string;
}

/**
 * Return the palette texture, two rows of 256 colours: of codes, and of values.
 *
 * @param hidden - Codes that the reader has switched off.
 * @param ramp - Colours of values, and which value is its end; 255 stands for no value.
 */
export function paletteTexture(
  product: Product,
  palette: PaletteName,
  theme: Theme,
  hidden: ReadonlySet<number>,
  ramp: { colours: Ramp; low: number; high: number } | undefined,
): Uint8Array {
  const texture = new Uint8Array(2 * 256 * 4);
  const put = (row: number, index: number, colour: readonly number[], alpha: number) =>
    texture.set([...colour, alpha], (row * 256 + index) * 4);

  const quiet = rgb(theme.quiet);
  for (let code = 0; code < 256; code++) put(0, code, quiet, HIDDEN);
  put(0, product.ocean.code, rgb(theme.ocean), OFF_LAND);
  if (product.noData >= 0) put(0, product.noData, rgb(theme.ocean), OFF_LAND);
  for (const [code, colour] of coloursOf(product.classes, palette)) {
    if (hidden.has(code)) put(0, code, quiet, HIDDEN);
    else put(0, code, rgb(colour), SHOWN);
  }
  if (ramp !== undefined) {
    for (let value = 0; value < 255; value++) {
      const at = (value - ramp.low) / Math.max(1, ramp.high - ramp.low);
      put(1, value, onRamp(ramp.colours, at), SHOWN);
    }
    put(1, 255, quiet, SHOWN);
  }
  return texture;
}
