/** What a product says of itself: years, classes, levels of overviews, scenarios and members. */

import * as zarr from "zarrita";
import { ShardStore, type StoredTiles } from "./store";
import { type Steps, stepsOf } from "./time";
import { NO_VALUE, type ValueScale, digits, scaleOf, valueOf } from "./values";
import { hex, onRamp } from "./palettes";

export interface LandClass {
  code: number;
  /** Name for readers. */
  name: string;
  colour: string;
}

/** Where the cells of an array lie. */
export interface CellGrid {
  rows: number;
  cols: number;
  /** Cells along a side of a chunk. */
  chunk: number;
  /** Edge of a cell, and the north-west corner of the grid, in degrees. */
  step: number;
  north: number;
  west: number;
}

/** The cells of one level of the overviews; level 0 are the maps. */
export interface Level extends CellGrid {
  /** Path of its group, empty for the maps. */
  path: string;
}

export type Origin = "observed" | "hindcast" | "forecast";

export interface Product {
  store: ShardStore;
  title: string;
  caveats: string[];
  finished: boolean;
  /** Its maps are one a year, or several: `steps.labels` says what each is called. */
  steps: Steps;
  origins: Origin[];
  /** The array of the maps, and what they show. */
  maps: { array: string; title: string };
  /** Of values a class for each level. */
  classes: LandClass[];
  /** The scale of a product of values. */
  scale?: ValueScale;
  /** Array that says how sure the maps are. */
  quality: "confidence" | "spread";
  /** Colour and code of the sea. */
  ocean: { code: number; colour: string };
  noData: number;
  levels: Level[];
  /** Names along the dimension `scenario`, empty where the product lacks it. */
  scenarios: string[];
  /** Name of the only scenario, where the product says it. */
  scenario: string;
  /** Length of the dimension `member`, 0 where the product lacks it. */
  members: number;
  /** The coarse cells that have fractions. */
  coarse?: CellGrid;
  /** Array that has the probability of every class, and the years that it has. */
  probability?: { array: "class_probability" | "probability"; years: number[] };
  entropy: boolean;
  /** Open an array by its path; the promise is kept. */
  array(path: string): Promise<zarr.Array<zarr.DataType>>;
}

/** One sequence of maps. */
export interface Sequence {
  scenario: number;
  member: number;
}

export class ProductError extends Error {}

/** Open a product by the URL of its store, which ends in a slash. */
export async function openProduct(url: URL, tiles?: StoredTiles): Promise<Product> {
  const store = new ShardStore(url, tiles);
  const root = await store.openRoot();
  if (root === undefined) {
    throw new ProductError("There is no Zarr store beside this page.");
  }
  const attributes = root.attributes ?? {};
  const about = attributes.luray;
  const variable: string = about?.target ?? "land_use";
  const maps = await store.node(variable);
  if (about === undefined || maps === undefined) {
    throw new ProductError(`This Zarr store is no product of luray: it has no array ${variable}.`);
  }

  const location = zarr.root(store);
  const opened = new Map<string, Promise<zarr.Array<zarr.DataType>>>();
  const array = (path: string) => {
    if (!opened.has(path)) {
      opened.set(path, zarr.open.v3(location.resolve(path), { kind: "array" }));
    }
    return opened.get(path)!;
  };
  const values = async (path: string) => (await zarr.get(await array(path))).data as any;
  const numbers = async (path: string) => Array.from(await values(path), Number);

  const dimensions: string[] = maps.dimension_names;
  const interval = about.time_step ?? "year";
  const coordinate = interval === "year" ? "year" : "time";
  const [times, origins] = await Promise.all([numbers(coordinate), numbers("origin")]);
  const steps = stepsOf(interval, times);
  const scale = scaleOf(maps.attributes);
  const words = (await store.node("origin")).attributes.flag_meanings.split(" ");

  const members = dimensions.includes("member")
    ? maps.shape[dimensions.indexOf("member")]
    : 0;
  const scenarios = dimensions.includes("scenario")
    ? (about.scenarios ?? Array.from(await values("scenario"), String))
    : [];
  return {
    store,
    title: attributes.title ?? capitalised(maps.attributes.long_name),
    maps: { array: variable, title: capitalised(maps.attributes.long_name) },
    caveats: attributes.caveats ?? [],
    finished: about.finished === true,
    steps,
    origins: origins.map((index) => words[index]),
    ...(scale === undefined ? legendOf(maps.attributes) : levelsOfScale(scale)),
    scale,
    quality: scale === undefined ? "confidence" : "spread",
    levels: await levelsOf(store, attributes, variable),
    scenarios,
    scenario: about.scenario ?? "",
    members,
    coarse: await coarseOf(store),
    probability: await probabilityOf(store, steps.years, numbers),
    entropy: (await store.node("entropy")) !== undefined,
    array,
  };
}

function capitalised(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function legendOf(attributes: any): Pick<Product, "classes" | "ocean" | "noData"> {
  const names: string[] = attributes.flag_meanings.split(" ");
  const colours: string[] = attributes.flag_colors.split(" ");
  const codes: number[] = attributes.flag_values;
  const all = codes.map((code, i) => ({ code, name: names[i], colour: colours[i] }));
  const ocean = all.find((flag) => flag.name === "ocean");
  const noData = all.find((flag) => flag.name === "no_data");
  return {
    classes: all
      .filter((flag) => flag !== ocean && flag !== noData)
      .map((flag) => ({ ...flag, name: flag.name.replaceAll("_", " ") })),
    ocean: { code: ocean?.code ?? 0, colour: ocean?.colour ?? "#dceaf5" },
    noData: noData?.code ?? -1,
  };
}

/** Return a class for each level of values, named by its value. */
function levelsOfScale(scale: ValueScale): Pick<Product, "classes" | "ocean" | "noData"> {
  const classes = Array.from({ length: scale.levels }, (_, level) => ({
    code: level,
    name: digits(scale, valueOf(scale, level)),
    colour: hex(onRamp(scale.colours, level / (scale.levels - 1))),
  }));
  return { classes, ocean: { code: NO_VALUE, colour: "" }, noData: NO_VALUE };
}

/** Levels as the GeoZarr convention `multiscales` lists them; the maps alone where it does not. */
async function levelsOf(
  store: ShardStore,
  attributes: any,
  variable: string,
): Promise<Level[]> {
  const layout: any[] = attributes.multiscales?.layout ?? [{ asset: "." }];
  return Promise.all(
    layout.map(async (entry) => {
      const path = entry.asset === "." ? "" : entry.asset;
      const node = await store.node(path === "" ? variable : `${path}/${variable}`);
      const transform = entry["spatial:transform"] ?? attributes["spatial:transform"];
      const [rows, cols] = node.shape.slice(-2);
      const chunk = chunkSide(node);
      return { path, rows, cols, chunk, ...placed(transform) };
    }),
  );
}

function placed(transform: number[]) {
  const [step, , west, , , north] = transform;
  return { step, west, north };
}

/** Side of the chunks inside a shard. */
function chunkSide(node: any): number {
  const sharding = node.codecs.find((codec: any) => codec.name === "sharding_indexed");
  const shape = sharding?.configuration.chunk_shape ?? node.chunk_grid.configuration.chunk_shape;
  return shape.at(-1);
}

async function coarseOf(store: ShardStore): Promise<CellGrid | undefined> {
  const node = await store.node("fraction");
  if (node === undefined) return undefined;
  const [rows, cols] = node.shape.slice(-2);
  return { rows, cols, chunk: chunkSide(node), ...placed(node.attributes["spatial:transform"]) };
}

async function probabilityOf(
  store: ShardStore,
  years: number[],
  numbers: (path: string) => Promise<number[]>,
): Promise<Product["probability"]> {
  if ((await store.node("class_probability")) !== undefined) {
    return { array: "class_probability", years };
  }
  if ((await store.node("probability")) !== undefined) {
    return { array: "probability", years: await numbers("probability_year") };
  }
  return undefined;
}
