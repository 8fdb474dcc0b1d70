/**
 * The first year in which cells change, and how often they do, from the maps of all years.
 *
 * The product does not store either. They are computed in the browser, for the chunks in view, at
 * the level of the overviews that is drawn; a chunk is shown while its years are still coming.
 */

import { type ChunkRef, Chunks, Priority } from "./chunks";
import type { Product, Sequence } from "./product";
import { NONE, countChange } from "./count_change";
import type { Tile } from "./tiles";

/** Years after which a chunk is shown again. */
const SHOWN_EVERY = 25;
/** Years that are asked for ahead. */
const AHEAD = 12;

export interface ChangeMap {
  /** Index of the year in which a cell has another class than the year before; NONE for never. */
  first: Uint8Array;
  /** Number of such years. */
  count: Uint8Array;
  /** Years that have been read. */
  read: number;
  /** Grows when there is more to show. */
  version: number;
}

export class Changes {
  onProgress: () => void = () => {};
  private maps = new Map<string, ChangeMap>();
  private running = new Set<string>();
  private wanted = new Set<string>();
  private isLand: Uint8Array;

  constructor(
    private product: Product,
    private chunks: Chunks,
    private reference: (tile: Tile, sequence: Sequence, year: number) => ChunkRef,
  ) {
    this.isLand = new Uint8Array(256);
    for (const { code } of product.classes) this.isLand[code] = 1;
  }

  /** Return what is known of a chunk. */
  get(tile: Tile, sequence: Sequence): ChangeMap | undefined {
    return this.maps.get(this.name(tile, sequence));
  }

  /** Compute these chunks, and pause all others. */
  want(tiles: Tile[], sequence: Sequence): void {
    this.wanted = new Set(tiles.map((tile) => this.name(tile, sequence)));
    for (const tile of tiles) void this.compute(tile, sequence);
  }

  /** Share of the years that have been read of some chunks. */
  progress(tiles: Tile[], sequence: Sequence): number {
    if (tiles.length === 0) return 1;
    const read = tiles.map((tile) => this.get(tile, sequence)?.read ?? 0);
    return read.reduce((sum, n) => sum + n, 0) / (tiles.length * this.product.steps.labels.length);
  }

  private name({ level, row, col }: Tile, { scenario, member }: Sequence): string {
    return `${level}/${row}/${col}/${scenario}/${member}`;
  }

  private async compute(tile: Tile, sequence: Sequence): Promise<void> {
    const name = this.name(tile, sequence);
    if (this.running.has(name)) return;
    this.running.add(name);
    try {
      const { years } = this.product.steps;
      const load = (year: number) => {
        return this.chunks.load(this.reference(tile, sequence, year), Priority.Series);
      };
      let map = this.maps.get(name);
      let before = (await load(Math.max(0, (map?.read ?? 0) - 1))) as Uint8Array;
      if (map === undefined) {
        const first = new Uint8Array(before.length).fill(NONE);
        const count = new Uint8Array(before.length);
        map = { first, count, read: 1, version: 0 };
        this.maps.set(name, map);
      }
      while (map.read < years.length && this.wanted.has(name)) {
        for (let ahead = map.read + 1; ahead < Math.min(map.read + AHEAD, years.length); ahead++) {
          void load(ahead).catch(() => {});
        }
        const after = (await load(map.read)) as Uint8Array;
        countChange(before, after, map.read, this.isLand, map);
        before = after;
        map.read += 1;
        if (map.read % SHOWN_EVERY === 0 || map.read === years.length) {
          map.version += 1;
          this.onProgress();
        }
      }
    } catch {
      // The chunk is asked for again when the view changes.
    } finally {
      this.running.delete(name);
    }
  }
}
