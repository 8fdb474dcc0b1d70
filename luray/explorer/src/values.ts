/** The scale of a product of values: what its levels stand for. */

/** Level, and spread, of a cell without a value. */
export const NO_VALUE = 255;

export interface ValueScale {
  /** Value of level 0, and the difference between two levels. */
  first: number;
  step: number;
  levels: number;
  /** As readers expect them, such as m² m⁻²; empty for the unit 1. */
  units: string;
  /** From the lowest value to the highest, evenly spaced. */
  colours: string[];
}

const RAISED: Record<string, string> = Object.fromEntries(
  [..."-0123456789"].map((sign, i) => [sign, [..."⁻⁰¹²³⁴⁵⁶⁷⁸⁹"][i]]),
);

/** Return the scale that the CF attributes of an array describe, undefined of maps of classes. */
export function scaleOf(attributes: any): ValueScale | undefined {
  if (attributes.scale_factor === undefined) return undefined;
  const units: string = attributes.units === "1" ? "" : attributes.units;
  return {
    first: attributes.add_offset,
    step: attributes.scale_factor,
    levels: attributes.valid_range[1] + 1,
    units: units.replace(/(?<=[A-Za-z])-?\d+/g, (power) => [...power].map((sign) => RAISED[sign]).join("")),
    colours: (attributes.colour_ramp ?? "#f7fcf5 #00441b").split(" "),
  };
}

export function valueOf(scale: ValueScale, level: number): number {
  return scale.first + scale.step * level;
}

/** Return a number with the digits that the steps of a scale have. */
export function digits(scale: ValueScale, value: number): string {
  const decimals = Math.max(0, Math.ceil(-Math.log10(scale.step) - 1e-9));
  return value.toFixed(decimals).replace("-", "−");
}

/** Return a number with its unit. */
export function withUnits(scale: ValueScale, value: number): string {
  return `${digits(scale, value)} ${scale.units}`.trim();
}

/** Levels of difference at which the colours of differences end. */
export function mostDifference(scale: ValueScale): number {
  return Math.max(4, Math.round(scale.levels / 4));
}

/** Steps of spread at which its colours end. */
export function mostSpread(scale: ValueScale): number {
  return Math.max(4, Math.round(scale.levels / 6));
}

/** Return the mean of the values of cells, weighted by area; undefined without any. */
export function meanOf(scale: ValueScale, areas: Map<number, number>): number | undefined {
  let total = 0;
  let sum = 0;
  for (const [level, area] of areas) {
    total += area;
    sum += area * valueOf(scale, level);
  }
  return total > 0 ? sum / total : undefined;
}
