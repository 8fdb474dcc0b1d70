/**
 * A Zarr store behind a web server, read as luray writes it: shards whose index comes first.
 *
 * zarrita asks for the index of a shard at its end, whatever `index_location` says. Here such a
 * request is answered from the beginning of the shard, and that beginning is fetched once, long
 * enough to hold the index and, of a small shard, its chunks as well.
 */

import type { AbsolutePath, AsyncReadable, RangeQuery } from "@zarrita/storage";

/** Bytes at the beginning of a shard that are fetched at once: of a map, and of an overview. */
const HEAD_OF_MAP = 16 * 1024;
const HEAD_OF_OVERVIEW = 128 * 1024;
/** Heads that are kept. */
const HEADS = 400;

interface Head {
  bytes: Uint8Array;
  /** Whether these are all bytes of the object. */
  whole: boolean;
}

/** Which tiles have land; the shards of others are not stored. */
export interface StoredTiles {
  /** Rows and columns of tiles. */
  rows: number;
  cols: number;
  /** Row and column of each tile with land. */
  land: [number, number][];
}

export class ShardStore implements AsyncReadable {
  /** Requests that have been sent. */
  requests = 0;
  private heads = new Map<string, Promise<Head | undefined>>();
  private metadata = new Map<string, unknown>();
  /** Whether the root lists all arrays, so that one which it does not list is not there. */
  private isConsolidated = false;
  private indexFirst = new Map<string, boolean>();

  private stored: Set<string>;

  /**
   * @param base - URL of the store, with a slash at its end.
   * @param tiles - Tiles that are stored, where that is known.
   */
  constructor(
    readonly base: URL,
    private tiles?: StoredTiles,
  ) {
    this.stored = new Set(tiles?.land.map(([row, col]) => `${row}/${col}`));
  }

  /** Read the metadata of the root, and keep what it says of all arrays and groups. */
  async openRoot(): Promise<Record<string, any> | undefined> {
    const bytes = await this.fetchWhole("/zarr.json");
    if (bytes === undefined) return undefined;
    const root = JSON.parse(new TextDecoder().decode(bytes));
    this.metadata.set("/zarr.json", root);
    const consolidated = root.consolidated_metadata?.metadata ?? {};
    this.isConsolidated = Object.keys(consolidated).length > 0;
    for (const [path, node] of Object.entries(consolidated)) {
      this.metadata.set(`/${path}/zarr.json`, node);
    }
    return root;
  }


  /** Metadata of a node as it is stored, undefined where there is none. */
  async node(path: string): Promise<any> {
    const key = path === "" ? "/zarr.json" : `/${path}/zarr.json`;
    if (!this.metadata.has(key)) {
      const bytes = this.isConsolidated ? undefined : await this.fetchWhole(key);
      const node = bytes && JSON.parse(new TextDecoder().decode(bytes));
      this.metadata.set(key, node);
    }
    return this.metadata.get(key);
  }

  async get(key: AbsolutePath): Promise<Uint8Array | undefined> {
    if (key.endsWith("zarr.json")) {
      const node = await this.node(key.slice(1).replace(/\/?zarr\.json$/, ""));
      return node === undefined ? undefined : new TextEncoder().encode(JSON.stringify(node));
    }
    // Zarr v2 is asked for first by some readers; a product is v3.
    if (/\/\.z(array|attrs|group|metadata)$/.test(key)) return undefined;
    return this.fetchWhole(key);
  }

  async getRange(key: AbsolutePath, range: RangeQuery): Promise<Uint8Array | undefined> {
    if ("suffixLength" in range && !(await this.hasIndexFirst(key))) {
      throw new Error(`${key}: expected shards whose index comes first, as luray writes them`);
    }
    if (await this.isWithoutLand(key)) return undefined;
    const start = "suffixLength" in range ? 0 : range.offset;
    const length = "suffixLength" in range ? range.suffixLength : range.length;
    const head = await this.head(key, length);
    if (head === undefined) return undefined;
    if (start + length <= head.bytes.length) return head.bytes.subarray(start, start + length);
    if (head.whole) throw new Error(`${key}: the shard is shorter than its index says`);
    return (await this.fetchRange(key, start, length))?.bytes;
  }

  /** Forget the beginnings of shards, so that a product which is being written is read again. */
  forget(): void {
    this.heads.clear();
  }

  private head(key: string, atLeast: number): Promise<Head | undefined> {
    let head = this.heads.get(key);
    if (head === undefined) {
      const usual = /^\/\d+\//.test(key) ? HEAD_OF_OVERVIEW : HEAD_OF_MAP;
      head = this.fetchRange(key, 0, Math.max(usual, atLeast));
      head.catch(() => this.heads.delete(key));
    } else {
      this.heads.delete(key);
    }
    this.heads.set(key, head); // the newest is last
    if (this.heads.size > HEADS) this.heads.delete(this.heads.keys().next().value!);
    return head;
  }

  private async hasIndexFirst(key: string): Promise<boolean> {
    const path = key.slice(1).replace(/\/c\/[\d/]+$/, "");
    if (!this.indexFirst.has(path)) {
      const node = await this.node(path);
      const codec = node?.codecs?.find((codec: any) => codec.name === "sharding_indexed");
      this.indexFirst.set(path, codec?.configuration?.index_location === "start");
    }
    return this.indexFirst.get(path)!;
  }

  /** Whether a shard is that of a tile without land. A bucket would answer with an error. */
  private async isWithoutLand(key: string): Promise<boolean> {
    if (this.tiles === undefined) return false;
    const node = await this.node(key.slice(1).replace(/\/c\/[\d/]+$/, ""));
    const [height, width] = node.shape.slice(-2);
    const [rows, cols] = node.chunk_grid.configuration.chunk_shape.slice(-2);
    const isTile =
      Math.ceil(height / rows) === this.tiles.rows && Math.ceil(width / cols) === this.tiles.cols;
    return isTile && !this.stored.has(key.split("/").slice(-2).join("/"));
  }

  private async fetchWhole(key: string): Promise<Uint8Array | undefined> {
    const response = await this.send(key);
    return response && new Uint8Array(await response.arrayBuffer());
  }

  private async fetchRange(key: string, start: number, length: number): Promise<Head | undefined> {
    const response = await this.send(key, { Range: `bytes=${start}-${start + length - 1}` });
    if (response === undefined) return undefined;
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (response.status === 206) return { bytes, whole: bytes.length < length };
    // a server without ranges sends everything
    return { bytes: bytes.subarray(start), whole: start === 0 };
  }

  private async send(key: string, headers: Record<string, string> = {}) {
    this.requests += 1;
    // `luray view` answers 204 then, which browsers do not report as an error as they do a 404.
    const asked = { ...headers, "X-Absent": "204" };
    const response = await fetch(new URL(key.slice(1), this.base), { headers: asked });
    // A tile without land is not stored. A bucket that may not be listed says 403 for it.
    if ([204, 403, 404].includes(response.status)) return undefined;
    if (!response.ok) throw new Error(`${key}: the server answered ${response.status}`);
    return response;
  }
}
