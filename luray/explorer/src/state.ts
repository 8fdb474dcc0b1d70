/** What the reader has chosen, and the same as the part of a URL after its #. */

import type { PaletteName } from "./palettes";
import type { Product } from "./product";
import { nearestStep, spanText } from "./time";

export const LAYERS = [
  "land_use",
  "confidence",
  "spread",
  "first_change",
  "changes",
  "difference",
  "probability",
] as const;
export type LayerName = (typeof LAYERS)[number];

const OF_VALUES: readonly LayerName[] = ["land_use", "spread", "difference"];

/** Return the layers of a product: of values, or of classes. */
export function layersOf({ scale }: Product): readonly LayerName[] {
  return scale === undefined ? LAYERS.filter((layer) => layer !== "spread") : OF_VALUES;
}

/** A map of the product, by its place along year, scenario and member. */
export interface Selection {
  year: number;
  scenario: number;
  member: number;
}

export interface Place {
  lat: number;
  lon: number;
}

export interface State {
  layer: LayerName;
  /** The map that is shown. */
  a: Selection;
  /** The one that it is compared with. */
  b: Selection;
  swipe: boolean;
  /** Where the screen is parted, from 0 to 1. */
  swipeAt: number;
  /** Codes of the classes that are switched off. */
  hidden: ReadonlySet<number>;
  /** Code of the class whose probability is shown. */
  ofClass: number;
  palette: PaletteName;
  projection: "globe" | "mercator";
  theme: "auto" | "light" | "dark";
  camera?: { lat: number; lon: number; zoom: number };
  /** The cell that was asked for. */
  cell?: Place;
}

export function firstState(product: Product): State {
  const last = product.origins.lastIndexOf("observed");
  let year = last >= 0 ? last : product.steps.labels.length - 1;
  // Of several maps a year the one of its middle, so that both that are compared have one season.
  const middle = Math.floor(product.steps.perYear / 2);
  if (product.steps.perYear > 1) year = Math.max(0, year - (product.steps.perYear - 1) + middle);
  return {
    layer: "land_use",
    a: { year, scenario: 0, member: 0 },
    b: { year: Math.min(middle, product.steps.labels.length - 1), scenario: 0, member: 0 },
    swipe: false,
    swipeAt: 0.5,
    hidden: new Set(),
    ofClass: product.classes[0]?.code ?? 0,
    palette: "legend",
    projection: "globe",
    theme: "auto",
  };
}

/** Write a state as the part of a URL after its #; what is as at first is left out. */
export function toHash(state: State, product: Product): string {
  const first = firstState(product);
  const fields: [string, string][] = [];
  const add = (name: string, value: string, usual: string) => {
    if (value !== usual) fields.push([name, value]);
  };
  if (state.camera) {
    const { zoom, lat, lon } = state.camera;
    fields.push(["map", `${zoom.toFixed(2)}/${lat.toFixed(4)}/${lon.toFixed(4)}`]);
  }
  fields.push(["year", product.steps.labels[state.a.year]]);
  add("layer", state.layer, first.layer);
  if (product.scenarios.length > 1) fields.push(["scenario", product.scenarios[state.a.scenario]]);
  if (product.members > 1) fields.push(["member", String(state.a.member)]);
  if (state.swipe || state.layer === "difference") {
    fields.push(["with", product.steps.labels[state.b.year]]);
    if (product.scenarios.length > 1) {
      fields.push(["with_scenario", product.scenarios[state.b.scenario]]);
    }
    if (product.members > 1) fields.push(["with_member", String(state.b.member)]);
  }
  if (state.swipe) fields.push(["swipe", state.swipeAt.toFixed(2)]);
  if (state.layer === "probability") fields.push(["class", String(state.ofClass)]);
  add("hide", [...state.hidden].join(","), "");
  add("palette", state.palette, first.palette);
  add("projection", state.projection, first.projection);
  add("theme", state.theme, first.theme);
  if (state.cell) fields.push(["cell", `${state.cell.lat.toFixed(5)},${state.cell.lon.toFixed(5)}`]);
  const encoded = fields.map(([name, value]) => {
    return `${name}=${encodeURIComponent(value).replaceAll("%2F", "/").replaceAll("%2C", ",")}`;
  });
  return `#${encoded.join("&")}`;
}

/** Read a state from a URL, and say in words what of it the product does not have. */
export function fromHash(hash: string, product: Product): { state: State; faults: string[] } {
  const state = firstState(product);
  const faults: string[] = [];
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const text = (name: string) => fields.get(name) ?? undefined;
  const oneOf = <T extends string>(name: string, known: readonly T[], usual: T): T => {
    const given = text(name);
    if (given === undefined || (known as readonly string[]).includes(given)) {
      return (given as T) ?? usual;
    }
    faults.push(`There is no ${name} “${given}”; this is ${words(usual)}.`);
    return usual;
  };
  const numbers = (name: string, separator: string): number[] | undefined => {
    const found = text(name)?.split(separator).map(Number);
    if (found?.some((number) => !Number.isFinite(number))) {
      faults.push(`The link's ${name} “${text(name)}” cannot be read.`);
      return undefined;
    }
    return found;
  };

  const selection = (year: string, prefix: string, usual: Selection): Selection => {
    const chosen = { ...usual };
    const given = text(year);
    const nearest = given === undefined ? undefined : nearestStep(product, given);
    if (given !== undefined && nearest === undefined) {
      faults.push(`The link's ${year} “${given}” cannot be read.`);
    }
    if (given !== undefined && nearest !== undefined) {
      const { labels, name } = product.steps;
      if (labels[nearest] !== given) {
        faults.push(
          `The product has no ${name} ${given}, only ` +
            `${spanText(product.steps, 0, labels.length - 1)}; this is ${labels[nearest]}.`,
        );
      }
      chosen.year = nearest;
    }
    const scenario = text(`${prefix}scenario`);
    if (scenario !== undefined) {
      const index = product.scenarios.indexOf(scenario);
      if (index >= 0) chosen.scenario = index;
      else if (product.scenarios.length > 0) {
        faults.push(
          `The product has no scenario “${scenario}”, only ${product.scenarios.join(", ")}; ` +
            `this is ${product.scenarios[usual.scenario]}.`,
        );
      } else if (scenario !== product.scenario) {
        const only = product.scenario ? `the one scenario ${product.scenario}` : "no scenarios";
        faults.push(`The product has ${only}, not “${scenario}”.`);
      }
    }
    const member = numbers(`${prefix}member`, ",")?.[0];
    if (member !== undefined && member !== 0) {
      if (Number.isInteger(member) && member > 0 && member < product.members) {
        chosen.member = member;
      } else {
        const has = product.members > 1 ? `the members 0–${product.members - 1}` : "one member";
        faults.push(`The product has ${has}, not member ${member}; this is member 0.`);
      }
    }
    return chosen;
  };

  state.a = selection("year", "", state.a);
  state.b = selection("with", "with_", state.b);
  state.layer = oneOf("layer", layersOf(product), state.layer);
  const palettes = product.scale === undefined ? (["legend", "safe"] as const) : (["legend"] as const);
  state.palette = oneOf<PaletteName>("palette", palettes, state.palette);
  state.projection = oneOf("projection", ["globe", "mercator"], state.projection);
  state.theme = oneOf("theme", ["auto", "light", "dark"], state.theme);
  const swipe = numbers("swipe", ",")?.[0];
  if (swipe !== undefined) {
    state.swipe = true;
    state.swipeAt = Math.min(1, Math.max(0, swipe));
  }
  const codes = new Set(product.classes.map(({ code }) => code));
  state.hidden = new Set((text("hide") ? numbers("hide", ",") : [])?.filter((c) => codes.has(c)));
  const ofClass = numbers("class", ",")?.[0];
  if (ofClass !== undefined && codes.has(ofClass)) state.ofClass = ofClass;
  const camera = numbers("map", "/");
  if (camera?.length === 3 && Math.abs(camera[1]) <= 90) {
    const [zoom, lat, lon] = camera;
    state.camera = { zoom, lat, lon };
  }
  const cell = numbers("cell", ",");
  if (cell?.length === 2) state.cell = { lat: cell[0], lon: cell[1] };
  return { state, faults };
}

function words(name: string): string {
  return name.replaceAll("_", " ");
}
