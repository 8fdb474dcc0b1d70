/** The time steps of a product: a map a year, or several in years of 365 days. */

import type { Product } from "./product";

const DAYS_OF_MONTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAYS_OF_YEAR = 365;
/** Year from which a product's `time` counts days. */
const EPOCH = 1850;

export type Interval = "year" | "month" | "dekad" | "P8D";

export interface Steps {
  /** Dimension of the maps. */
  dimension: "year" | "time";
  perYear: number;
  /** What one step is called, and several. */
  name: string;
  plural: string;
  /** Place of each on an axis of calendar years: the year where it is one. */
  years: number[];
  /** What each is called: 2004, 2004-03 or 2004-03-21. */
  labels: string[];
}

/** Return the steps of a product: calendar years, or days since 1850 of the first day of each. */
export function stepsOf(interval: Interval, numbers: number[]): Steps {
  if (interval === "year") {
    const labels = numbers.map(String);
    return { dimension: "year", perYear: 1, name: "year", plural: "years", years: numbers, labels };
  }
  const dates = numbers.map((days) => dateOf(days));
  return {
    dimension: "time",
    perYear: { month: 12, dekad: 36, P8D: 46 }[interval],
    name: interval === "P8D" ? "step" : interval,
    plural: interval === "P8D" ? "steps" : `${interval}s`,
    years: numbers.map((days) => EPOCH + days / DAYS_OF_YEAR),
    labels: dates.map((date) => (interval === "month" ? date.slice(0, 7) : date)),
  };
}

function dateOf(days: number): string {
  const year = EPOCH + Math.floor(days / DAYS_OF_YEAR);
  let day = days - (year - EPOCH) * DAYS_OF_YEAR;
  let month = 0;
  while (day >= DAYS_OF_MONTHS[month]) day -= DAYS_OF_MONTHS[month++];
  const two = (number: number) => String(number).padStart(2, "0");
  return `${year}-${two(month + 1)}-${two(day + 1)}`;
}

/** Return the first and the last of some steps in words. */
export function spanText({ labels, perYear }: Steps, first: number, last: number): string {
  if (first === last) return labels[first];
  return `${labels[first]}${perYear === 1 ? "–" : " to "}${labels[last]}`;
}

/** Return the index of the step of a label, or the nearest to it; undefined for no time at all. */
export function nearestStep({ steps }: Pick<Product, "steps">, text: string): number | undefined {
  const exact = steps.labels.indexOf(text);
  if (exact >= 0) return exact;
  const [year, month = "1", day = "1"] = text.trim().split(/(?<=\d)-/);
  const wanted = Number(year) + (Number(month) - 1) / 12 + (Number(day) - 1) / DAYS_OF_YEAR;
  if (text.trim() === "" || !Number.isFinite(wanted)) return undefined;
  let nearest = 0;
  steps.years.forEach((candidate, i) => {
    if (Math.abs(candidate - wanted) < Math.abs(steps.years[nearest] - wanted)) nearest = i;
  });
  return nearest;
}
