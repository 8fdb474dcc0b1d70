/** What is loaded and drawn for a state of the page and a view of the map. */

import type { Map as MapLibreMap } from "maplibre-gl";
import { Changes } from "./changes";
import { type ChunkRef, Chunks, Priority } from "./chunks";
import { ChunkLayer, type Picture, type Piece } from "./layer";
import type { Product, Sequence } from "./product";
import { Mode } from "./shaders";
import type { Selection, State } from "./state";
import { mostDifference } from "./values";
import { type Drawn, type Tile, type View, chooseTiles, tilesOf, viewOf } from "./tiles";

/** Milliseconds after which the maps of a new year are shown one by one, if some are late. */
const PATIENCE = 900;
/** Years that are fetched ahead: at rest, and a second of playing at most. */
const AHEAD_AT_REST = 2;
const AHEAD_PLAYING = 16;

/** Side A is what the reader chose, side B what it is compared with. */
type SideName = "a" | "b";

interface Side {
  /** The map that is on the screen, and that which is to be. */
  shown: Selection;
  wanted: Selection;
  since: number;
}

export class Scene {
  readonly chunks: Chunks;
  readonly changes: Changes;
  readonly layer: ChunkLayer;
  view!: View;
  drawn: Drawn = { level: 0, tiles: [], isPart: false };
  /** Called after the picture has changed. */
  onPicture: () => void = () => {};
  private sides: Record<SideName, Side>;
  private scheduled = false;
  private moved = true;
  /** What is on the screen, to be known again. */
  private signature = "";

  constructor(
    private product: Product,
    private map: MapLibreMap,
    private state: () => State,
    private playing: () => { direction: number; speed: number } | undefined,
  ) {
    this.chunks = new Chunks(product);
    this.layer = new ChunkLayer(product.levels);
    this.layer.noData = product.noData;
    if (product.scale !== undefined) this.layer.mostDifference = mostDifference(product.scale);
    this.changes = new Changes(product, this.chunks, (tile, sequence, year) =>
      this.codesOf(tile, { ...sequence, year }),
    );
    const { a, b } = state();
    this.sides = {
      a: { shown: a, wanted: a, since: 0 },
      b: { shown: b, wanted: b, since: 0 },
    };
    this.chunks.onLoad = () => this.schedule();
    this.changes.onProgress = () => this.schedule();
    map.on("move", () => this.viewChanged());
    map.on("resize", () => this.viewChanged());
  }

  /** The view is another one. */
  viewChanged(): void {
    this.moved = true;
    this.schedule();
  }

  /** Bring the picture up to date before the next frame. */
  schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.update();
    });
  }

  /** The map that a side shows at this moment. */
  shown(side: SideName): Selection {
    return this.sides[side].shown;
  }

  /** Whether the maps of a year are there for all that is in view. */
  isLoaded(year: number): boolean {
    const selection = { ...this.state().a, year };
    return this.needs(selection).every((ref) => this.chunks.has(ref));
  }

  /** Whether everything that was asked for is drawn. */
  get isSettled(): boolean {
    const isShown = (side: SideName) => {
      const { shown, wanted } = this.sides[side];
      return same(shown, wanted) && this.needs(wanted).every((ref) => this.chunks.has(ref));
    };
    return !this.scheduled && isShown("a") && (!this.usesB || isShown("b"));
  }

  /** Share of the years that the changes in view have been counted over. */
  get progress(): number {
    return this.changes.progress(this.drawn.tiles, this.state().a);
  }

  /** Return the chunk of codes at a tile. */
  codesOf(tile: Tile, selection: Selection): ChunkRef {
    return this.reference(this.product.maps.array, tile, selection);
  }

  private get usesB(): boolean {
    const { layer, swipe } = this.state();
    return swipe || layer === "difference";
  }

  private reference(name: string, tile: Tile, selection: Selection): ChunkRef {
    const { path } = this.product.levels[tile.level];
    const array = path === "" ? name : `${path}/${name}`;
    return { array, index: this.indexOf(selection), row: tile.row, col: tile.col };
  }

  private indexOf({ year, scenario, member }: Selection): Record<string, number> {
    const index: Record<string, number> = { [this.product.steps.dimension]: year };
    if (this.product.scenarios.length > 0) index.scenario = scenario;
    if (this.product.members > 0) index.member = member;
    return index;
  }

  /** Whether the layer exists at level 0 alone. */
  private get isFinestOnly(): boolean {
    return this.state().layer === "probability" && this.product.probability !== undefined;
  }

  /** Return the chunk of values that is drawn over codes, where the layer has one of the store. */
  private secondOf(tile: Tile, selection: Selection): ChunkRef | undefined {
    const { layer, ofClass, b } = this.state();
    const { probability, classes, quality } = this.product;
    if (layer === "difference") return this.codesOf(tile, b);
    if (layer === "spread") return this.reference(quality, tile, selection);
    if (layer === "confidence" || (layer === "probability" && probability === undefined)) {
      return this.reference("confidence", tile, selection);
    }
    if (layer !== "probability" || probability === undefined) return undefined;
    const index = this.indexOf(selection);
    index.class = classes.findIndex(({ code }) => code === ofClass);
    if (probability.array === "class_probability") {
      delete index.member;
    } else {
      delete index.year;
      index.probability_year = probabilityYear(this.product, selection.year);
    }
    return { array: probability.array, index, row: tile.row, col: tile.col };
  }

  /** Return the value that is drawn over a cell of a chunk, where it is one of the store. */
  secondValue(tile: Tile, selection: Selection, at: number): number | undefined {
    const ref = this.secondOf(tile, selection);
    return ref && this.chunks.get(ref)?.[at];
  }

  /** Return all chunks that a map in view needs. */
  private needs(selection: Selection): ChunkRef[] {
    const refs: ChunkRef[] = [];
    for (const tile of this.drawn.tiles) {
      refs.push(this.codesOf(tile, selection));
      const second = this.secondOf(tile, selection);
      if (second !== undefined) refs.push(second);
    }
    return refs;
  }

  private update(): void {
    const state = this.state();
    const { moved } = this;
    if (moved) {
      this.view = viewOf(this.map);
      this.moved = false;
    }
    this.drawn = chooseTiles(this.product.levels, this.view, this.isFinestOnly);
    const now = performance.now();
    let changed = false;
    for (const name of ["a", "b"] as const) {
      const side = this.sides[name];
      if (!same(side.wanted, state[name])) {
        side.wanted = state[name];
        side.since = now;
        this.chunks.cancel(Priority.Visible);
        this.chunks.cancel(Priority.Prefetch);
        changed = true;
      }
    }
    for (const name of this.usesB ? (["a", "b"] as const) : (["a"] as const)) {
      const side = this.sides[name];
      const missing = this.needs(side.wanted).filter((ref) => !this.chunks.has(ref));
      for (const ref of missing) void this.chunks.load(ref, Priority.Visible).catch(() => {});
      if (missing.length === 0 || now - side.since > PATIENCE) {
        side.shown = side.wanted;
      } else if (!same(side.shown, side.wanted)) {
        setTimeout(() => this.schedule(), PATIENCE);
      }
    }
    this.loadUnderlay();
    if (state.layer === "first_change" || state.layer === "changes") {
      this.changes.want(this.drawn.tiles, state.a);
    } else if (changed || !this.chunks.busy) {
      this.prefetch();
    }

    const at = state.swipe ? state.swipeAt : 1;
    const pictures = [this.picture(this.sides.a.shown, [0, at])];
    if (state.swipe) pictures.push(this.picture(this.sides.b.shown, [at, 1]));
    this.layer.pictures = pictures;
    // What comes ahead of its year changes nothing on the screen.
    const signature = pictures
      .map(({ mode, clip, pieces }) => {
        const keys = pieces.map(({ tile, key, second }) => `${tile.level},${tile.turn},${key},${second?.key}`);
        return `${mode}/${clip}/${keys.join(";")}`;
      })
      .join("|");
    if (signature === this.signature && !moved) return;
    this.signature = signature;
    this.map.triggerRepaint();
    this.onPicture();
  }

  /** Load the coarsest maps in view, which are seen until finer ones have come. */
  private loadUnderlay(): void {
    if (this.isFinestOnly) return;
    const coarsest = this.product.levels.length - 1;
    if (this.drawn.level === coarsest) return;
    for (const tile of this.underlay()) {
      void this.chunks.load(this.codesOf(tile, this.sides.a.wanted), Priority.Visible).catch(() => {});
    }
  }

  private underlay(): Tile[] {
    const coarsest = this.product.levels.length - 1;
    return tilesOf(this.product.levels[coarsest], coarsest, this.view).slice(0, 12);
  }

  private prefetch(): void {
    if (!this.isReady("a") || (this.usesB && !this.isReady("b"))) return;
    const { a } = this.state();
    const playing = this.playing();
    const steps: number[] = [];
    if (playing !== undefined) {
      const ahead = Math.min(AHEAD_PLAYING, Math.max(4, Math.ceil(playing.speed * 1.5)));
      for (let i = 1; i <= ahead; i++) steps.push(i * playing.direction);
    } else {
      for (let i = 1; i <= AHEAD_AT_REST; i++) steps.push(i, -i);
    }
    for (const step of steps) {
      const year = a.year + step;
      if (year < 0 || year >= this.product.steps.labels.length) continue;
      for (const ref of this.needs({ ...a, year })) {
        if (!this.chunks.has(ref)) void this.chunks.load(ref, Priority.Prefetch).catch(() => {});
      }
    }
  }

  private isReady(name: SideName): boolean {
    return this.needs(this.sides[name].wanted).every((ref) => this.chunks.has(ref));
  }

  private picture(selection: Selection, clip: [number, number]): Picture {
    const { layer } = this.state();
    const difference = this.product.scale === undefined ? Mode.Difference : Mode.LessOrMore;
    const mode =
      layer === "land_use" ? Mode.Class : layer === "difference" ? difference : Mode.Value;
    const pieces: Piece[] = [];
    const isWhole = this.drawn.tiles.every((tile) => this.piece(tile, selection) !== undefined);
    if (!isWhole && !this.isFinestOnly) {
      for (const tile of this.underlay()) {
        const piece = this.piece(tile, selection);
        if (piece !== undefined) pieces.push(piece);
      }
    }
    for (const tile of this.drawn.tiles) {
      const piece = this.piece(tile, selection);
      if (piece !== undefined) pieces.push(piece);
    }
    return { mode, pieces, clip };
  }

  private piece(tile: Tile, selection: Selection): Piece | undefined {
    const ref = this.codesOf(tile, selection);
    const codes = this.chunks.get(ref) as Uint8Array | undefined;
    if (codes === undefined) return undefined;
    const { layer } = this.state();
    if (layer === "land_use") return { tile, key: Chunks.key(ref), codes };

    if (layer === "first_change" || layer === "changes") {
      const map = this.changes.get(tile, selection as Sequence);
      if (map === undefined) return undefined;
      const { scenario, member } = selection;
      const place = `${tile.level}/${tile.row}/${tile.col}/${scenario}/${member}`;
      const values = layer === "changes" ? map.count : map.first;
      return { tile, key: Chunks.key(ref), codes, second: { key: `${layer}/${place}/${map.version}`, values } };
    }
    const secondRef = this.secondOf(tile, selection);
    const values = secondRef && (this.chunks.get(secondRef) as Uint8Array | undefined);
    if (secondRef === undefined || values === undefined) return undefined;
    return { tile, key: Chunks.key(ref), codes, second: { key: Chunks.key(secondRef), values } };
  }
}

function same(one: Selection, other: Selection): boolean {
  return one.year === other.year && one.scenario === other.scenario && one.member === other.member;
}

/** Return the place of the nearest year along `probability_year`. */
export function probabilityYear(product: Product, year: number): number {
  const years = product.probability!.years;
  const distances = years.map((candidate) => Math.abs(candidate - product.steps.years[year]));
  return distances.indexOf(Math.min(...distances));
}
