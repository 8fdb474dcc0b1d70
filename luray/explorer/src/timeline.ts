/** The years, or shorter time steps: a slider with what is observed, playing, and speed. */

import { h, icon } from "./dom";
import type { Product } from "./product";
import type { State } from "./state";
import { spanText } from "./time";

/** Maps a second. */
const SPEEDS = [1, 2, 5, 10, 20];

export class Timeline {
  readonly element: HTMLElement;
  playing = false;
  speed = 10;
  private slider: HTMLInputElement;
  private label: HTMLElement;
  private origin: HTMLElement;
  private button: HTMLButtonElement;
  private other: HTMLElement;
  private fraction = 0;
  private last = 0;

  /**
   * @param missing - Indices of years that are not finished.
   * @param isLoaded - Whether the maps of a year are there, so that playing may go on to it.
   */
  constructor(
    private product: Product,
    missing: ReadonlySet<number>,
    private state: () => State,
    private setYear: (index: number) => void,
    private isLoaded: (index: number) => boolean,
    private onPlay: () => void,
  ) {
    const { labels, name, plural, perYear } = product.steps;
    this.label = h("output", { class: "year", for: "year" });
    this.origin = h("span", { class: "origin" });
    this.button = h("button", {
      type: "button",
      class: "button play",
      id: "play",
      onclick: () => this.toggle(),
    });
    this.slider = h("input", {
      type: "range",
      id: "year",
      min: 0,
      max: labels.length - 1,
      step: 1,
      "aria-label": capitalised(name),
      oninput: () => {
        this.pause();
        this.setYear(Number(this.slider.value));
      },
    });
    this.other = h("span", { class: "other-year", "aria-hidden": "true" });
    const speed = h("select", {
      id: "speed",
      "aria-label": `${capitalised(plural)} a second`,
      title: "Speed of playing",
      onchange: (event: Event) => {
        this.speed = Number((event.target as HTMLSelectElement).value);
      },
    });
    for (const value of SPEEDS) {
      const label = `${value} ${value > 1 ? plural : name}/s`;
      speed.append(h("option", { value, selected: value === this.speed }, label));
    }
    const track = h("div", { class: "track", "aria-hidden": "true" }, ...this.segments(missing));
    const ticks = h("div", { class: "ticks", "aria-hidden": "true" }, ...this.ticks());
    this.element = h(
      "section",
      { class: "timeline surface", "aria-label": "Time" },
      this.button,
      h("div", { class: "now" }, this.label, this.origin),
      h("div", { class: "range" }, track, this.other, this.slider, ticks),
      speed,
    );
    this.element.style.setProperty("--years", String(labels.length));
    this.element.classList.toggle("steps", perYear > 1);
    this.showButton();
  }

  /** Show what the state says. */
  show(): void {
    const { a, b, swipe, layer } = this.state();
    const year = this.product.steps.labels[a.year];
    const origin = this.product.origins[a.year];
    this.slider.value = String(a.year);
    this.slider.setAttribute("aria-valuetext", `${year}, ${origin}`);
    this.label.textContent = year;
    this.origin.textContent = origin;
    this.origin.dataset.origin = origin;
    this.other.hidden = !swipe && layer !== "difference";
    this.other.style.left = this.at(b.year + 0.5);
    this.other.title = `compared with ${this.product.steps.labels[b.year]}`;
  }

  toggle(): void {
    if (this.playing) this.pause();
    else this.play();
  }

  play(): void {
    const last = this.product.steps.labels.length - 1;
    if (this.state().a.year >= last) this.setYear(0);
    this.playing = true;
    this.fraction = 0;
    this.last = performance.now();
    this.showButton();
    this.onPlay();
    requestAnimationFrame((now) => this.frame(now));
  }

  pause(): void {
    if (!this.playing) return;
    this.playing = false;
    this.showButton();
    this.onPlay();
  }

  private frame(now: number): void {
    if (!this.playing) return;
    this.fraction += (Math.min(100, now - this.last) / 1000) * this.speed;
    this.last = now;
    const { year } = this.state().a;
    const end = this.product.steps.labels.length - 1;
    if (year >= end) {
      this.pause();
      return;
    }
    if (this.fraction >= 1) {
      // As many years as are due and have come; a late one is waited for.
      let next = year;
      while (this.fraction >= 1 && next < end && this.isLoaded(next + 1)) {
        next += 1;
        this.fraction -= 1;
      }
      this.fraction = Math.min(this.fraction, 1);
      if (next !== year) this.setYear(next);
    }
    requestAnimationFrame((next) => this.frame(next));
  }

  private showButton(): void {
    const label = this.playing ? "Pause" : "Play";
    this.button.setAttribute("aria-label", label);
    this.button.title = `${label} (space)`;
    this.button.replaceChildren(icon(this.playing ? "pause" : "play"));
  }

  /** Return the place of a year on the track, of which each year has an equal part. */
  private at(index: number): string {
    return `${(100 * index) / this.product.steps.labels.length}%`;
  }

  private segments(missing: ReadonlySet<number>): HTMLElement[] {
    const { origins, steps } = this.product;
    const kinds = origins.map((origin, i) => (missing.has(i) ? "missing" : origin));
    const segments: HTMLElement[] = [];
    let start = 0;
    for (let i = 1; i <= kinds.length; i++) {
      if (i < kinds.length && kinds[i] === kinds[start]) continue;
      const segment = h("span", {
        class: `segment ${kinds[start]}`,
        title: `${kinds[start]} ${spanText(steps, start, i - 1)}`,
      });
      segment.style.left = this.at(start);
      segment.style.width = this.at(i - start);
      segments.push(segment);
      start = i;
    }
    return segments;
  }

  private ticks(): HTMLElement[] {
    const { years, perYear } = this.product.steps;
    const span = years.length / perYear;
    const every = span > 120 ? 50 : span > 40 ? 20 : span > 12 ? 5 : 1;
    // Where a year has several steps the first of them is marked.
    const found = years.flatMap((year, i) => (year % every === 0 ? [i] : []));
    return found.map((i) => {
      const tick = h("span", { class: "tick" }, String(years[i]));
      tick.style.left = this.at(perYear === 1 ? i + 0.5 : i);
      return tick;
    });
  }
}

function capitalised(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
