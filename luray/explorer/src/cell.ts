/** What is known of one cell over all years, and of the coarse cell that it lies in. */

import { type ChunkRef, Chunks, Priority } from "./chunks";
import type { Product, Sequence } from "./product";
import type { Place } from "./state";
import { wrapped } from "./tiles";

/** A cell of a grid: row and column, and the place of its centre. */
export interface Cell extends Place {
  row: number;
  col: number;
}

interface Lattice {
  rows: number;
  cols: number;
  step: number;
  north: number;
  west: number;
}

/** Return the cell that a place lies in, undefined beyond the grid. */
export function cellAt(grid: Lattice, { lat, lon }: Place): Cell | undefined {
  const middle = grid.west + (grid.cols * grid.step) / 2;
  const unwrapped = middle + wrapped(lon - middle);
  const row = Math.floor((grid.north - lat) / grid.step);
  const col = Math.floor((unwrapped - grid.west) / grid.step);
  if (row < 0 || row >= grid.rows || col < 0 || col >= grid.cols) return undefined;
  return {
    row,
    col,
    lat: grid.north - (row + 0.5) * grid.step,
    lon: grid.west + (col + 0.5) * grid.step,
  };
}

/** One array over the years at one cell. */
export class Series {
  /** A value, or those of all classes, for each year; undefined where it has not come. */
  readonly values: (number | Float32Array | undefined)[];
  private stopped = false;

  private constructor(
    product: Product,
    private chunks: Chunks,
    private reference: (year: number) => ChunkRef,
    private pick: (values: Uint8Array | Float32Array) => number | Float32Array,
    private onValue: () => void,
  ) {
    this.values = new Array(product.steps.labels.length).fill(undefined);
  }

  /** Read a map at a cell. */
  static ofCell(
    product: Product,
    chunks: Chunks,
    array: string,
    cell: Cell,
    sequence: Sequence,
    onValue: () => void,
  ): Series {
    const side = product.levels[0].chunk;
    const [row, col] = [Math.floor(cell.row / side), Math.floor(cell.col / side)];
    const at = (cell.row % side) * side + (cell.col % side);
    const reference = (year: number) => ({ array, index: indexOf(product, sequence, year), row, col });
    return new Series(product, chunks, reference, (values) => values[at], onValue);
  }

  /** Read the fractions of all classes at a coarse cell. */
  static ofFractions(
    product: Product,
    chunks: Chunks,
    cell: Cell,
    sequence: Sequence,
    onValue: () => void,
  ): Series {
    const side = product.coarse!.chunk;
    const [row, col] = [Math.floor(cell.row / side), Math.floor(cell.col / side)];
    const at = (cell.row % side) * side + (cell.col % side);
    const reference = (year: number) => ({
      array: "fraction",
      index: indexOf(product, sequence, year),
      row,
      col,
    });
    const pick = (values: Uint8Array | Float32Array) =>
      Float32Array.from(product.classes, (_, k) => values[k * side * side + at]);
    return new Series(product, chunks, reference, pick, onValue);
  }

  /** Read all years: first some over the whole span, then those between. */
  async read(first: number): Promise<void> {
    const n = this.values.length;
    const order = [first];
    for (const step of [16, 4, 1]) {
      for (let year = 0; year < n; year += step) order.push(year);
    }
    const years = [...new Set(order)];
    await Promise.all(
      years.map(async (year) => {
        try {
          const values = await this.chunks.load(this.reference(year), Priority.Series);
          if (this.stopped) return;
          this.values[year] = this.pick(values);
          this.onValue();
        } catch {
          // it was cancelled, or the server did not answer: the year stays open
        }
      }),
    );
  }

  stop(): void {
    this.stopped = true;
  }

  get isComplete(): boolean {
    return this.values.every((value) => value !== undefined);
  }
}

function indexOf(product: Product, { scenario, member }: Sequence, year: number) {
  const index: Record<string, number> = { [product.steps.dimension]: year };
  if (product.scenarios.length > 0) index.scenario = scenario;
  if (product.members > 0) index.member = member;
  return index;
}
