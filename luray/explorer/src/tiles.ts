/** Which chunks of which level are in view. */

import type { Map as MapLibreMap } from "maplibre-gl";
import type { Level } from "./product";

/** Most chunks of a level that are drawn at once; more of them are taken from a coarser level. */
export const MOST_CHUNKS = 64;
/** Points along each side of the screen whose places are looked up. */
const SAMPLES = 12;

/** What the map shows, in degrees. Longitudes may pass 180, they do not wrap. */
export interface View {
  west: number;
  east: number;
  south: number;
  north: number;
  centre: { lon: number; lat: number };
  /** Angle in degrees from the centre to the horizon of a globe; 180 on a flat map. */
  horizon: number;
  /** Pixels of a degree of longitude. */
  pixels: number;
  isGlobe: boolean;
}

/** A chunk on the map. */
export interface Tile {
  level: number;
  row: number;
  col: number;
  /** Times 360 degrees by which it is moved to the east. */
  turn: number;
}

const RADIANS = Math.PI / 180;

/** Return the angle between two places, in degrees. */
function angle(a: { lon: number; lat: number }, lon: number, lat: number): number {
  const cosine =
    Math.sin(a.lat * RADIANS) * Math.sin(lat * RADIANS) +
    Math.cos(a.lat * RADIANS) * Math.cos(lat * RADIANS) * Math.cos((lon - a.lon) * RADIANS);
  return Math.acos(Math.min(1, Math.max(-1, cosine))) / RADIANS;
}

export function viewOf(map: MapLibreMap): View {
  const isGlobe = map.getProjection()?.type === "globe";
  const centre = { lon: map.getCenter().lng, lat: map.getCenter().lat };
  const { clientWidth: width, clientHeight: height } = map.getCanvas();
  let [west, east, south, north] = [Infinity, -Infinity, Infinity, -Infinity];
  let horizon = 0;
  for (let i = 0; i <= SAMPLES; i++) {
    for (let j = 0; j <= SAMPLES; j++) {
      const place = map.unproject([(i / SAMPLES) * width, (j / SAMPLES) * height]);
      let lon = place.lng;
      if (isGlobe) lon = centre.lon + wrapped(lon - centre.lon);
      west = Math.min(west, lon);
      east = Math.max(east, lon);
      south = Math.min(south, place.lat);
      north = Math.max(north, place.lat);
      horizon = Math.max(horizon, angle(centre, lon, place.lat));
    }
  }
  if (isGlobe) {
    // All meridians meet at a pole that is in view.
    const poleInView = Math.abs(centre.lat) + horizon > 88;
    if (poleInView && map.getZoom() < 5) [west, east] = [centre.lon - 180, centre.lon + 180];
    if (centre.lat + horizon > 88) north = 90;
    if (centre.lat - horizon < -88) south = -90;
  }
  const pixels = (512 * 2 ** map.getZoom()) / 360;
  return { west, east, south, north, centre, horizon: isGlobe ? horizon : 180, pixels, isGlobe };
}

/** Return an angle between -180 and 180 degrees. */
export function wrapped(degrees: number): number {
  return degrees - 360 * Math.round(degrees / 360);
}

/** Return the chunks of a level that are in view. */
export function tilesOf(level: Level, number: number, view: View): Tile[] {
  const tiles: Tile[] = [];
  const side = level.chunk * level.step;
  const nRows = Math.ceil(level.rows / level.chunk);
  const nCols = Math.ceil(level.cols / level.chunk);
  const firstRow = Math.max(0, Math.floor((level.north - view.north) / side));
  const lastRow = Math.min(nRows - 1, Math.floor((level.north - view.south) / side));
  const eastEdge = level.west + level.cols * level.step;
  const firstTurn = Math.floor((view.west - eastEdge) / 360) + 1;
  const lastTurn = Math.ceil((view.east - level.west) / 360) - 1;
  const seen = new Set<number>();
  for (let turn = firstTurn; turn <= lastTurn; turn++) {
    const west = level.west + 360 * turn;
    const firstCol = Math.max(0, Math.floor((view.west - west) / side));
    const lastCol = Math.min(nCols - 1, Math.floor((view.east - west) / side));
    for (let row = firstRow; row <= lastRow; row++) {
      for (let col = firstCol; col <= lastCol; col++) {
        // on a globe all turns are one
        if (view.isGlobe && seen.has(row * nCols + col)) continue;
        seen.add(row * nCols + col);
        tiles.push({ level: number, row, col, turn: view.isGlobe ? 0 : turn });
      }
    }
  }
  return tiles;
}

/** What is drawn: chunks of the level that fits the zoom, and whether it was too many. */
export interface Drawn {
  level: number;
  tiles: Tile[];
  /** The product lacks the level that would be fine enough to hold, so the picture is a part. */
  isPart: boolean;
}

/** Return the finest level whose cells are at least a pixel, and which has few enough chunks. */
export function chooseTiles(levels: Level[], view: View, finestOnly = false): Drawn {
  const cell = levels[0].step * view.pixels;
  const coarsest = finestOnly ? 0 : levels.length - 1;
  let level = Math.min(coarsest, Math.max(0, Math.ceil(Math.log2(1 / cell) - 0.25)));
  let tiles = tilesOf(levels[level], level, view);
  while (tiles.length > MOST_CHUNKS && level < coarsest) {
    level += 1;
    tiles = tilesOf(levels[level], level, view);
  }
  const isPart = tiles.length > MOST_CHUNKS;
  if (isPart) {
    const distance = (tile: Tile) => {
      const side = levels[level].chunk * levels[level].step;
      const lon = levels[level].west + 360 * tile.turn + (tile.col + 0.5) * side;
      return angle(view.centre, lon, levels[level].north - (tile.row + 0.5) * side);
    };
    tiles = tiles.sort((a, b) => distance(a) - distance(b)).slice(0, MOST_CHUNKS);
  }
  return { level, tiles, isPart };
}
