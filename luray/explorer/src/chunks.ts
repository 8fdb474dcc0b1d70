/**
 * Decoded chunks: a cache bounded by bytes, and the order in which chunks are fetched.
 *
 * A chunk of any array lies at one index along its leading dimensions, and at a row and column of
 * chunks.
 */

import type { Product } from "./product";
import { NO_VALUE } from "./values";

/** Where a chunk lies: array, index by dimension name, row and column of chunks. */
export interface ChunkRef {
  array: string;
  index: Readonly<Record<string, number>>;
  row: number;
  col: number;
}

export type Values = Uint8Array | Float32Array;

export enum Priority {
  Visible,
  Series,
  Prefetch,
}

const MOST_BYTES = 384 * 2 ** 20;
/** Browsers send six requests at once to a server that speaks HTTP/1.1. */
const AT_ONCE = 8;

interface Waiting {
  ref: ChunkRef;
  key: string;
  priority: Priority;
  resolve: (values: Values) => void;
  reject: (error: unknown) => void;
}

export class Chunks {
  /** Called when a chunk has arrived. */
  onLoad: () => void = () => {};
  private cache = new Map<string, Values>();
  private bytes = 0;
  private waiting: Waiting[] = [];
  private coming = new Map<string, Promise<Values>>();
  private running = 0;

  constructor(private product: Product) {}

  static key({ array, index, row, col }: ChunkRef): string {
    const lead = Object.entries(index).map(([name, i]) => `${name}=${i}`);
    return `${array}|${lead.join(",")}|${row},${col}`;
  }

  /** Return a chunk that is there. */
  get(ref: ChunkRef): Values | undefined {
    const key = Chunks.key(ref);
    const values = this.cache.get(key);
    if (values !== undefined) {
      this.cache.delete(key);
      this.cache.set(key, values); // the newest is last
    }
    return values;
  }

  has(ref: ChunkRef): boolean {
    return this.cache.has(Chunks.key(ref));
  }

  /** Load a chunk. Asking again with a higher priority moves it forward. */
  load(ref: ChunkRef, priority: Priority): Promise<Values> {
    const found = this.get(ref);
    if (found !== undefined) return Promise.resolve(found);
    const key = Chunks.key(ref);
    const queued = this.waiting.find((item) => item.key === key);
    if (queued !== undefined) queued.priority = Math.min(queued.priority, priority);
    const coming = this.coming.get(key);
    if (coming !== undefined) return coming;

    const promise = new Promise<Values>((resolve, reject) => {
      this.waiting.push({ ref, key, priority, resolve, reject });
    });
    promise.catch(() => {});
    this.coming.set(key, promise);
    this.pump();
    return promise;
  }

  /** Drop what waits with a priority, because something else is wanted now. */
  cancel(priority: Priority): void {
    for (const item of this.waiting) {
      if (item.priority !== priority) continue;
      this.coming.delete(item.key);
      item.reject(new Cancelled());
    }
    this.waiting = this.waiting.filter((item) => item.priority !== priority);
  }

  /** Whether anything is being fetched. */
  get busy(): boolean {
    return this.running > 0 || this.waiting.length > 0;
  }

  private pump(): void {
    while (this.running < AT_ONCE && this.waiting.length > 0) {
      let best = 0;
      for (let i = 1; i < this.waiting.length; i++) {
        if (this.waiting[i].priority < this.waiting[best].priority) best = i;
      }
      const [item] = this.waiting.splice(best, 1);
      this.running += 1;
      this.read(item.ref)
        .then((values) => {
          this.keep(item.key, values);
          item.resolve(values);
        })
        .catch(item.reject)
        .finally(() => {
          this.running -= 1;
          this.coming.delete(item.key);
          this.pump();
          this.onLoad();
        });
    }
  }

  private async read({ array, index, row, col }: ChunkRef): Promise<Values> {
    const side = this.sideWithoutSpread(array, index);
    if (side !== undefined) return new Uint8Array(side * side).fill(NO_VALUE);
    const opened = await this.product.array(array);
    const names = opened.dimensionNames ?? [];
    const position = names.slice(0, -2).map((name) => index[name] ?? 0);
    const chunk = await opened.getChunk([...position, row, col]);
    return chunk.data as Values;
  }

  /**
   * Return the side of a chunk of spread of an observed map, undefined of any other.
   *
   * There is no spread of what is observed, and nothing is stored: a web server would answer each
   * request for it with an error.
   */
  private sideWithoutSpread(array: string, index: ChunkRef["index"]): number | undefined {
    const { quality, steps, origins, levels } = this.product;
    if (quality !== "spread" || origins[index[steps.dimension]] !== "observed") return undefined;
    return levels.find(({ path }) => array === (path === "" ? quality : `${path}/${quality}`))?.chunk;
  }

  private keep(key: string, values: Values): void {
    this.cache.set(key, values);
    this.bytes += values.byteLength;
    for (const [oldest, old] of this.cache) {
      if (this.bytes <= MOST_BYTES) break;
      this.cache.delete(oldest);
      this.bytes -= old.byteLength;
    }
  }
}

export class Cancelled extends Error {}
