/** Area of each class in view, from the chunks that are drawn. */

import type { Chunks } from "./chunks";
import type { Level, Product } from "./product";
import type { Scene } from "./scene";
import type { Selection } from "./state";
import type { View } from "./tiles";

const RADIANS = Math.PI / 180;
/** Radius of the sphere that has the Earth's area, in km. */
const RADIUS = 6371.0072;

/** Return the area of a cell of each row of a level, in km2. */
function rowAreas({ rows, north, step }: Level): Float64Array {
  const areas = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const top = Math.min(90, north - row * step);
    const bottom = Math.max(-90, north - (row + 1) * step);
    const height = Math.sin(top * RADIANS) - Math.sin(bottom * RADIANS);
    areas[row] = RADIUS ** 2 * height * step * RADIANS;
  }
  return areas;
}

/**
 * Return the range of longitudes of a latitude that is in view.
 *
 * On a globe that is what lies before the horizon, of which the corners of the screen may hide a
 * part.
 */
function inView(view: View, lat: number): [number, number] | undefined {
  if (lat > view.north || lat < view.south) return undefined;
  if (!view.isGlobe) return [view.west, view.east];
  const centre = view.centre.lat * RADIANS;
  const at = lat * RADIANS;
  const cosine =
    (Math.cos(view.horizon * RADIANS) - Math.sin(centre) * Math.sin(at)) /
    (Math.cos(centre) * Math.cos(at));
  if (cosine >= 1) return undefined;
  const half = cosine <= -1 ? 180 : Math.acos(cosine) / RADIANS;
  return [
    Math.max(view.west, view.centre.lon - half),
    Math.min(view.east, view.centre.lon + half),
  ];
}

/**
 * Return the area in view of each code, in km2.
 *
 * It is that of the level that is drawn, so it is exact where the maps themselves are drawn.
 */
export function areasInView(
  product: Product,
  scene: Scene,
  chunks: Chunks,
  selection: Selection,
): Map<number, number> {
  const { view, drawn } = scene;
  const totals = new Float64Array(256);
  if (view === undefined) return new Map();
  const level = product.levels[drawn.level];
  const areas = rowAreas(level);
  for (const tile of drawn.tiles) {
    const codes = chunks.get(scene.codesOf(tile, selection)) as Uint8Array | undefined;
    if (codes === undefined) continue;
    const nRows = Math.min(level.chunk, level.rows - tile.row * level.chunk);
    const nCols = Math.min(level.chunk, level.cols - tile.col * level.chunk);
    // on a globe a chunk may be seen across the dateline
    const turns = view.isGlobe ? [-1, 0, 1] : [tile.turn];
    for (let y = 0; y < nRows; y++) {
      const row = tile.row * level.chunk + y;
      const range = inView(view, level.north - (row + 0.5) * level.step);
      if (range === undefined) continue;
      for (const turn of turns) {
        const west = level.west + tile.col * level.chunk * level.step + 360 * turn;
        const first = Math.max(0, Math.ceil((range[0] - west) / level.step - 0.5));
        const last = Math.min(nCols - 1, Math.floor((range[1] - west) / level.step - 0.5));
        const start = y * level.chunk;
        for (let i = start + first; i <= start + last; i++) totals[codes[i]] += areas[row];
      }
    }
  }
  return new Map(product.classes.map(({ code }) => [code, totals[code]]));
}

/** Return an area as a reader expects it. */
export function areaText(km2: number): string {
  if (km2 >= 999_500) return `${(km2 / 1e6).toFixed(km2 >= 9.95e6 ? 1 : 2)} M km²`;
  if (km2 >= 100) return `${Math.round(km2).toLocaleString("en").replaceAll(",", "\u2009")} km²`;
  if (km2 >= 1) return `${km2.toFixed(0)} km²`;
  return km2 > 0 ? "< 1 km²" : "0 km²";
}
