/** The map below and above a product: sea, land, coastlines, borders and graticule; all bundled. */

import type { FeatureCollection, MultiLineString } from "geojson";
import type { Map as MapLibreMap, StyleSpecification } from "maplibre-gl";
import { feature, mesh } from "topojson-client";

export interface MapColours {
  ocean: string;
  land: string;
  coast: string;
  border: string;
  graticule: string;
}

export const LIGHT: MapColours = {
  ocean: "#dfe9f0",
  land: "#f4f2ec",
  coast: "#5d7486",
  border: "#4d5b66",
  graticule: "#8aa2b3",
};

/** The same below values, whose lowest are pale: what has no value is told from a low one. */
export const LIGHT_BELOW_VALUES: MapColours = { ...LIGHT, land: "#cfd6db" };

export const DARK: MapColours = {
  ocean: "#16222d",
  land: "#26303a",
  coast: "#9fb4c4",
  border: "#0d1319",
  graticule: "#5b7386",
};

/** Lines of latitude and longitude. */
function graticule(step: number): FeatureCollection<MultiLineString> {
  const lines: number[][][] = [];
  for (let lon = -180; lon < 180; lon += step) {
    lines.push(Array.from({ length: 69 }, (_, i) => [lon, -85 + i * 2.5]));
  }
  for (let lat = -90 + step; lat < 90; lat += step) {
    lines.push(Array.from({ length: 145 }, (_, i) => [-180 + i * 2.5, lat]));
  }
  return {
    type: "FeatureCollection",
    features: [
      { type: "Feature", properties: {}, geometry: { type: "MultiLineString", coordinates: lines } },
    ],
  };
}

/** The style before the bundled map has come. */
export function firstStyle(colours: MapColours, projection: string): StyleSpecification {
  return {
    version: 8,
    projection: { type: projection as "globe" },
    sources: {},
    layers: [{ id: "sea", type: "background", paint: { "background-color": colours.ocean } }],
  };
}

/**
 * Add land below the product, and coasts, borders and graticule above it.
 *
 * @param world - Natural Earth's countries as TopoJSON.
 * @param product - Id of the product's layer.
 */
export function addWorld(map: MapLibreMap, world: any, colours: MapColours, product: string): void {
  const { countries, land } = world.objects;
  const isCoast = (a: unknown, b: unknown) => a === b;
  const isBorder = (a: unknown, b: unknown) => a !== b;
  const data = {
    land: unwrapped(feature(world, land)),
    graticule: graticule(30),
    borders: linesOf(mesh(world, countries, isBorder)),
    coast: linesOf(mesh(world, countries, isCoast)),
  };
  for (const [id, source] of Object.entries(data)) {
    map.addSource(id, { type: "geojson", data: source, tolerance: 0.2 });
  }
  map.addLayer({ id: "land", type: "fill", source: "land" }, product);
  const widths = { graticule: [0.5, 0.5], borders: [0.3, 0.9], coast: [0.4, 1.1] };
  const opacities = { graticule: 0.35, borders: 0.5, coast: 0.85 };
  for (const id of ["graticule", "borders", "coast"] as const) {
    const [far, near] = widths[id];
    map.addLayer({
      id,
      type: "line",
      source: id,
      paint: {
        "line-width": ["interpolate", ["linear"], ["zoom"], 1, far, 5, near],
        "line-opacity": opacities[id],
      },
    });
  }
  paintWorld(map, colours);
}

/** Give the map the colours of a theme. */
export function paintWorld(map: MapLibreMap, colours: MapColours): void {
  map.setPaintProperty("sea", "background-color", colours.ocean);
  if (map.getLayer("land") === undefined) return;
  map.setPaintProperty("land", "fill-color", colours.land);
  map.setPaintProperty("graticule", "line-color", colours.graticule);
  map.setPaintProperty("borders", "line-color", colours.border);
  map.setPaintProperty("coast", "line-color", colours.coast);
}

/** Return lines without the edges at which the data are cut: the dateline and the south pole. */
function linesOf({ coordinates }: { coordinates: number[][][] }) {
  const isCut = ([lon, lat]: number[], [otherLon, otherLat]: number[]) =>
    Math.abs(lon - otherLon) > 180 ||
    (Math.abs(lon) > 179.99 && Math.abs(otherLon) > 179.99) ||
    (lat < -89.9 && otherLat < -89.9);
  const pieces: number[][][] = [];
  for (const line of coordinates) {
    let piece = [line[0]];
    for (let i = 1; i < line.length; i++) {
      if (isCut(line[i - 1], line[i])) {
        pieces.push(piece);
        piece = [];
      }
      piece.push(line[i]);
    }
    pieces.push(piece);
  }
  const geometry = {
    type: "MultiLineString" as const,
    coordinates: pieces.filter((piece) => piece.length > 1),
  };
  return { type: "Feature" as const, properties: {}, geometry };
}

/** Return polygons whose rings go on beyond 180 degrees where they cross the dateline. */
function unwrapped(collection: any) {
  for (const { geometry } of collection.features) {
    for (const polygon of geometry.coordinates) {
      for (const ring of polygon) {
        for (let i = 1; i < ring.length; i++) {
          const turns = Math.round((ring[i][0] - ring[i - 1][0]) / 360);
          if (turns !== 0) ring[i] = [ring[i][0] - 360 * turns, ring[i][1]];
        }
      }
    }
  }
  return collection;
}
