/**
 * What the coarse scenario demands, from the predictor cube beside the product.
 *
 * The product holds the maps and what follows from them. The scenario's shares of classes, whose
 * change from year to year is the demand, are an input, and lie in the cube.
 */

import * as zarr from "zarrita";
import type { Product } from "./product";
import { ShardStore } from "./store";
import { cellAt } from "./cell";
import type { Place } from "./state";

/** A group of classes of which the scenario has a share. */
export interface Group {
  codes: number[];
  /** Names of the classes. */
  name: string;
}

interface Layer {
  path: string;
  title: string;
  /** Place of a year along the first axis of the values. */
  steps: Map<number, number>;
  variables: { classes: number[] }[];
  shareOf: "cell" | "land";
  grid: { north: number; west: number; step: number; rows: number; cols: number };
}

export interface Shares {
  groups: Group[];
  /** Share of each group in percent, NaN where the scenario has no value. */
  now: number[];
  /** Those of the year before. */
  before: number[];
  title: string;
  shareOf: "cell" | "land";
}

export class Demand {
  private constructor(
    private product: Product,
    private store: ShardStore,
    /** Layers by scenario; the last one that has a year counts. */
    private layers: Map<string, Layer[]>,
  ) {}

  /** Open a cube; undefined where there is none, or none with shares of classes. */
  static async open(url: URL, product: Product): Promise<Demand | undefined> {
    const store = new ShardStore(url);
    const root = await store.openRoot();
    const about = root?.attributes?.luray;
    if (about?.groups === undefined) return undefined;

    const open = async (path: string): Promise<Layer | undefined> => {
      const node = await store.node(path);
      const described = node?.attributes?.luray;
      const isShare = (variable: any) => variable.classes?.length > 0;
      if (described?.role !== "forcing" || !described.variables.some(isShare)) return undefined;
      const years = (await zarr.get(await openArray(store, `${path}/year`))).data as any;
      const steps = new Map<number, number>(Array.from(years, (year, i) => [Number(year), i]));
      // An array that is not stored reads as zeros, and its scenario would have another one's values.
      if (steps.size !== years.length || !described.years.includes(Number(years[0]))) {
        throw new Error(`${path}: its years cannot be read`);
      }
      for (const [year, held] of described.held ?? []) {
        if (steps.has(held)) steps.set(year, steps.get(held)!);
      }
      const { north, west, step, n_lat: rows, n_lon: cols } = described.grid;
      return {
        path,
        title: node.attributes.title,
        steps,
        variables: described.variables,
        shareOf: described.variables.find(isShare).share_of,
        grid: { north, west, step, rows, cols },
      };
    };
    const all = async (paths: string[]) => {
      const found = await Promise.all(paths.map(open));
      return found.filter((layer) => layer !== undefined);
    };

    const shared = await all(Object.values(about.groups));
    const layers = new Map<string, Layer[]>();
    for (const scenario of about.scenarios ?? [""]) {
      layers.set(scenario, [...shared, ...(await all(about.parts?.[scenario] ?? []))]);
    }
    const hasAny = [...layers.values()].some((found) => found.length > 0);
    return hasAny ? new Demand(product, store, layers) : undefined;
  }

  /** Return the scenario's shares at a place; undefined where it has none for the year. */
  async shares(place: Place, year: number, scenario: string): Promise<Shares | undefined> {
    const layers = this.layers.get(scenario) ?? this.layers.get("");
    if (layers === undefined) return undefined;
    const find = (wanted: number) => layers.findLast(({ steps }) => steps.has(wanted));
    const layer = find(year);
    const prior = find(year - 1);
    if (layer === undefined || prior === undefined) return undefined;
    const [now, before] = await Promise.all([
      this.values(layer, year, place),
      this.values(prior, year - 1, place),
    ]);
    if (now === undefined || before === undefined) return undefined;

    const names = new Map(this.product.classes.map(({ code, name }) => [code, name]));
    const groups: Group[] = [];
    const index: number[] = [];
    layer.variables.forEach(({ classes }, v) => {
      if (!classes?.length) return;
      let g = groups.findIndex(({ codes }) => String(codes) === String(classes));
      if (g < 0) {
        const name = classes.map((code) => names.get(code) ?? `class ${code}`).join(" or ");
        g = groups.push({ codes: classes, name }) - 1;
      }
      index[v] = g;
    });
    const sums = (values: number[]) => {
      const totals = groups.map(() => 0);
      values.forEach((value, v) => {
        if (index[v] !== undefined) totals[index[v]] += 100 * value;
      });
      return totals;
    };
    const { title, shareOf } = layer;
    return { groups, now: sums(now), before: sums(before), title, shareOf };
  }

  private async values(layer: Layer, year: number, place: Place): Promise<number[] | undefined> {
    const cell = cellAt(layer.grid, place);
    if (cell === undefined) return undefined;
    const array = await openArray(this.store, `${layer.path}/values`);
    const step = layer.steps.get(year)!;
    const [height, width] = array.chunks.slice(-2);
    const chunk = await array.getChunk([
      step,
      0,
      Math.floor(cell.row / height),
      Math.floor(cell.col / width),
    ]);
    const at = (cell.row % height) * width + (cell.col % width);
    const data = chunk.data as Float32Array;
    return layer.variables.map((_, v) => data[v * height * width + at]);
  }
}

function openArray(store: ShardStore, path: string) {
  return zarr.open.v3(zarr.root(store).resolve(path), { kind: "array" });
}
