/** Counting changes between two maps. */

/** Stands for a cell that never changes. */
export const NONE = 255;
const MOST = 254;

/**
 * Add the changes between two consecutive maps to first years and counts.
 *
 * @param before, after - Codes of the same cells. A cell that is off land in either does not change.
 * @param year - Index of the later year; indices above 254 count as 254.
 * @param isLand - Whether a code is a class of land, by code.
 */
export function countChange(
  before: Uint8Array,
  after: Uint8Array,
  year: number,
  isLand: Uint8Array,
  map: { first: Uint8Array; count: Uint8Array },
): void {
  const { first, count } = map;
  const index = Math.min(year, MOST);
  for (let i = 0; i < after.length; i++) {
    if (after[i] === before[i] || isLand[after[i]] === 0 || isLand[before[i]] === 0) continue;
    if (first[i] === NONE) first[i] = index;
    if (count[i] < MOST) count[i] += 1;
  }
}
