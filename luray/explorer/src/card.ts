/** The card of one cell: its classes over the years, its coarse cell, and what is demanded there. */

import { type Cell, Series, cellAt } from "./cell";
import type { Chunks } from "./chunks";
import type { Demand, Shares } from "./demand";
import { fitCanvas, h, iconButton } from "./dom";
import { coloursOf } from "./palettes";
import type { Product } from "./product";
import type { State } from "./state";
import { spanText } from "./time";
import { NO_VALUE, type ValueScale, digits, valueOf, withUnits } from "./values";

/** Entries of the list of changes. */
const MOST_CHANGES = 60;

export class Card {
  readonly element: HTMLElement;
  private cell?: Cell;
  private classes?: Series;
  private confidence?: Series;
  private fractions?: Series;
  private body = h("div", { class: "card-body" });
  private place = h("h2", {});
  private strip = h("canvas", { class: "strip", role: "img" });
  private chart = h("canvas", { class: "chart", role: "img" });
  private now = h("p", { class: "cell-now" });
  private list = h("ol", { class: "changes" });
  private coarse = h("section", { class: "coarse" });
  private coarseTitle = h("h3", {});
  private demandTable = h("div", { class: "demand" });
  private tip = h("div", { class: "tip surface", "aria-hidden": "true" });
  private shares?: Shares;
  private demandHeading = h("h3", {});
  private asked = 0;
  private drawing = false;
  private timer = 0;
  private sequence = "";

  constructor(
    private product: Product,
    private chunks: Chunks,
    private demand: Promise<Demand | undefined>,
    private state: () => State,
    private onYear: (index: number) => void,
    onClose: () => void,
  ) {
    const legend = h("p", { class: "note" }, "Share of each class over the years.");
    this.coarse.append(this.coarseTitle, this.chart, legend, this.demandTable);
    this.body.append(this.now, this.strip, this.axis(), this.list, this.coarse);
    this.element = h(
      "aside",
      { class: "card surface", "aria-label": "Cell", tabindex: -1 },
      h("header", { class: "card-head" }, this.place, iconButton("close", "Close the cell", onClose)),
      this.body,
      this.tip,
    );
    this.element.hidden = true;
    this.element.classList.toggle("of-values", product.scale !== undefined);
    for (const canvas of [this.strip, this.chart]) {
      canvas.addEventListener("pointermove", (event) => this.showTip(event, canvas));
      canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
      canvas.addEventListener("click", (event) => this.onYear(this.yearAt(event, canvas)));
    }
    this.tip.hidden = true;
    new ResizeObserver(() => this.draw()).observe(this.body);
  }

  /** Codes of the cell's classes, of every year that has come. */
  get series(): (number | undefined)[] {
    return (this.classes?.values ?? []) as (number | undefined)[];
  }

  get isComplete(): boolean {
    return this.classes?.isComplete ?? false;
  }

  /** Show what the state says: open, close, or another sequence of maps. */
  show(): void {
    const { cell: place, a } = this.state();
    const cell = place && cellAt(this.product.levels[0], place);
    const sequence = `${cell?.row}/${cell?.col}/${a.scenario}/${a.member}`;
    if (cell === undefined) {
      this.stop();
      this.cell = undefined;
      this.sequence = "";
      this.element.hidden = true;
      return;
    }
    if (sequence !== this.sequence) {
      this.sequence = sequence;
      this.cell = cell;
      this.element.hidden = false;
      this.start(cell);
    }
    this.draw();
    void this.showDemand();
  }

  private stop(): void {
    for (const series of [this.classes, this.confidence, this.fractions]) series?.stop();
  }

  private start(cell: Cell): void {
    this.stop();
    const { a } = this.state();
    const redraw = () => this.drawSoon();
    this.place.textContent = placeText(cell);
    this.classes = Series.ofCell(this.product, this.chunks, this.product.maps.array, cell, a, redraw);
    this.confidence = Series.ofCell(this.product, this.chunks, this.product.quality, cell, a, redraw);
    void this.classes.read(a.year).then(() => this.confidence?.read(a.year));
    this.fractions = undefined;
    this.coarse.hidden = this.product.coarse === undefined;
    if (this.product.coarse !== undefined) {
      const coarse = cellAt(this.product.coarse, cell);
      if (coarse === undefined) return;
      this.coarseTitle.textContent = `Its ${+this.product.coarse.step.toFixed(4)}° cell`;
      this.fractions = Series.ofFractions(this.product, this.chunks, coarse, a, redraw);
      void this.fractions.read(a.year);
    }
  }

  /** Draw what has come, a few times a second while years are coming. */
  private drawSoon(): void {
    if (this.timer !== 0) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.draw();
    }, 120);
  }

  private draw(): void {
    if (this.drawing || this.cell === undefined) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      if (this.cell === undefined) return;
      this.drawNow();
      this.drawStrip();
      this.drawList();
      this.drawFractions();
      this.drawDemand();
    });
  }

  private nameOf(code: number | undefined): string {
    if (code === undefined) return "…";
    const { scale } = this.product;
    if (scale !== undefined) {
      return code === NO_VALUE ? "no value" : withUnits(scale, valueOf(scale, code));
    }
    if (code === this.product.ocean.code) return "ocean";
    return this.product.classes.find((land) => land.code === code)?.name ?? "no data";
  }

  private drawNow(): void {
    const { a, palette } = this.state();
    const code = this.series[a.year];
    const percent = this.confidence?.values[a.year];
    const swatch = h("span", { class: "swatch" });
    swatch.style.background = this.colours(palette).get(code ?? -1) ?? "var(--sea)";
    const isLand = this.product.classes.some((land) => land.code === code);
    const certain = isLand ? this.qualityText(code, percent as number | undefined, "confidence ") : "";
    this.now.replaceChildren(
      swatch,
      h("span", {}, h("strong", {}, this.nameOf(code)), ` in ${this.product.steps.labels[a.year]}`),
      h("span", { class: "muted" }, certain),
    );
  }

  /** Return how sure a map is of the cell in words: its confidence, or its spread. */
  private qualityText(code: number | undefined, quality: number | undefined, what = ", "): string {
    const { scale } = this.product;
    if (quality === undefined) return "";
    if (scale === undefined) return `${what}${quality} %`;
    if (quality === NO_VALUE || code === NO_VALUE) return "";
    return ` ± ${digits(scale, quality * scale.step)}`;
  }

  private colours(palette: State["palette"]): Map<number, string> {
    return coloursOf(this.product.classes, palette);
  }

  private drawStrip(): void {
    const { a, b, palette, swipe, layer } = this.state();
    const colours = this.colours(palette);
    const context = fitCanvas(this.strip);
    const { clientWidth: width, clientHeight: height } = this.strip;
    const { steps, scale } = this.product;
    const n = steps.labels.length;
    const at = (i: number) => onPixel((width * i) / n);
    const bar = height - 8;
    if (scale !== undefined) this.drawValues(context, scale, width, bar);
    else this.series.forEach((code, i) => {
      context.fillStyle = colours.get(code ?? -1) ?? "rgba(128, 140, 150, 0.18)";
      context.fillRect(at(i), 0, at(i + 1) - at(i), bar);
    });
    // what is observed, below the strip
    const ink = getComputedStyle(this.element).getPropertyValue("--ink");
    context.fillStyle = getComputedStyle(this.element).getPropertyValue("--observed");
    this.product.origins.forEach((origin, i) => {
      if (origin === "observed") context.fillRect(at(i), bar + 3, at(i + 1) - at(i), 3);
    });
    this.drawMark(context, at(a.year + 0.5), height, ink);
    if (swipe || layer === "difference") this.drawMark(context, at(b.year + 0.5), height, ink);
    if (scale !== undefined) {
      this.strip.setAttribute("aria-label", `Values of the cell, ${spanText(steps, 0, n - 1)}`);
      return;
    }
    const spans = this.spans();
    const text = spans.map(({ from, code }) => `${steps.labels[from]} ${this.nameOf(code)}`);
    this.strip.setAttribute("aria-label", `Classes of the cell: ${text.slice(0, 12).join(", ")}`);
  }

  private drawMark(context: CanvasRenderingContext2D, x: number, height: number, ink: string): void {
    context.fillStyle = ink;
    context.fillRect(Math.round(x) - 1, 0, 2, height);
  }

  /** Draw the values over time as a line, and twice their spread around it. */
  private drawValues(context: CanvasRenderingContext2D, scale: ValueScale, width: number, height: number): void {
    const n = this.series.length;
    const x = (i: number) => (width * (i + 0.5)) / n;
    const known = this.series.filter((level) => level !== undefined && level !== NO_VALUE) as number[];
    const most = Math.min(scale.levels - 1, Math.max(10, ...known) + 4);
    const y = (level: number) => height - 1 - ((height - 3) * Math.min(most, Math.max(0, level))) / most;
    const style = getComputedStyle(this.element);
    context.fillStyle = "rgba(128, 140, 150, 0.28)";
    this.confidence?.values.forEach((spread, i) => {
      const level = this.series[i];
      if (typeof spread !== "number" || spread === NO_VALUE || level === undefined || level === NO_VALUE) return;
      context.fillRect(x(i - 0.5), y(level + spread), width / n + 0.5, y(level - spread) - y(level + spread));
    });
    context.strokeStyle = style.getPropertyValue("--ink");
    context.lineWidth = 1.4;
    context.beginPath();
    let isOpen = false;
    this.series.forEach((level, i) => {
      if (level === undefined || level === NO_VALUE) {
        isOpen = false;
        return;
      }
      if (isOpen) context.lineTo(x(i), y(level));
      else context.moveTo(x(i), y(level));
      isOpen = true;
    });
    context.stroke();
    context.fillStyle = style.getPropertyValue("--muted");
    context.font = "11px inherit, sans-serif";
    context.textBaseline = "top";
    context.fillText(withUnits(scale, valueOf(scale, most)), 2, 1);
  }

  /** Runs of years with one class, as far as years have come. */
  private spans(): { from: number; to: number; code: number }[] {
    const spans: { from: number; to: number; code: number }[] = [];
    this.series.forEach((code, i) => {
      if (code === undefined) return;
      const last = spans.at(-1);
      if (last?.code === code) last.to = i;
      else spans.push({ from: i, to: i, code });
    });
    return spans;
  }

  private drawList(): void {
    this.list.hidden = !this.isComplete || this.product.scale !== undefined;
    if (this.list.hidden) return;
    const colours = this.colours(this.state().palette);
    const years = this.product.steps.labels;
    const spans = this.spans();
    const items = spans.slice(0, MOST_CHANGES).map(({ from, to, code }) => {
      const swatch = h("span", { class: "swatch" });
      swatch.style.background = colours.get(code) ?? "var(--sea)";
      const span = from === to ? years[from] : `${years[from]}–${years[to]}`;
      return h("li", {}, swatch, h("span", { class: "span" }, span), this.nameOf(code));
    });
    if (spans.length > MOST_CHANGES) {
      items.push(h("li", {}, `and ${spans.length - MOST_CHANGES} more`));
    }
    this.list.replaceChildren(...items);
  }

  private drawFractions(): void {
    if (this.fractions === undefined) return;
    const { a, palette } = this.state();
    const colours = this.colours(palette);
    const context = fitCanvas(this.chart);
    const { clientWidth: width, clientHeight: height } = this.chart;
    const n = this.product.steps.labels.length;
    const at = (i: number) => onPixel((width * i) / n);
    const values = this.fractions.values as (Float32Array | undefined)[];
    let latest: Float32Array | undefined;
    for (let i = 0; i < n; i++) {
      latest = values[i] ?? latest;
      if (latest === undefined) continue;
      let y = height;
      this.product.classes.forEach(({ code }, k) => {
        const share = latest![k] || 0;
        context.fillStyle = colours.get(code)!;
        const top = y - share * height;
        context.fillRect(at(i), onPixel(top), at(i + 1) - at(i), onPixel(y) - onPixel(top));
        y = top;
      });
    }
    const ink = getComputedStyle(this.element).getPropertyValue("--ink");
    this.drawMark(context, (width * (a.year + 0.5)) / n, height, ink);
    const now = values[a.year];
    const shares = this.product.classes
      .map(({ name }, k) => `${name} ${((now?.[k] || 0) * 100).toFixed(1)} %`)
      .join(", ");
    this.chart.setAttribute("aria-label", `Fractions in ${this.product.steps.labels[a.year]}: ${shares}`);
  }

  /** Show what the scenario demands at the cell between the year before and this one. */
  private async showDemand(): Promise<void> {
    const asked = ++this.asked;
    const { a } = this.state();
    const { product, cell } = this;
    if (cell === undefined) return;
    const demand = await this.demand;
    if (asked !== this.asked) return;
    const year = product.steps.years[a.year];
    const scenario = product.scenarios[a.scenario] ?? product.scenario;
    const heading = h("h3", {}, `Demand, ${year - 1} to ${year}`);
    this.shares = undefined;
    const note = (text: string) => this.demandTable.replaceChildren(heading, h("p", { class: "note" }, text));
    if (demand === undefined) {
      note("What the scenario demands is an input of the product. It lies in the predictor cube, which is not beside this product.");
      return;
    }
    const shares = await demand.shares(cell, year, scenario).catch(() => undefined);
    if (asked !== this.asked) return;
    if (shares === undefined || shares.now.every(Number.isNaN)) {
      note(`The scenario ${scenario} has no value here for ${year}.`);
      return;
    }
    this.shares = shares;
    this.demandHeading = heading;
    this.drawDemand();
  }

  /** Draw the demand beside the change of the maps, as far as these have come. */
  private drawDemand(): void {
    const { shares, product } = this;
    if (shares === undefined) return;
    const { a } = this.state();
    const now = this.fractions?.values[a.year] as Float32Array | undefined;
    const before = this.fractions?.values[a.year - 1] as Float32Array | undefined;
    const rows = shares.groups.map(({ codes, name }, g) => {
      let made: number | undefined;
      if (now !== undefined && before !== undefined) {
        made = 0;
        product.classes.forEach(({ code }, k) => {
          if (codes.includes(code)) made! += 100 * (now[k] - before[k]);
        });
      }
      return h(
        "tr",
        {},
        h("th", { scope: "row" }, name),
        h("td", {}, signed(shares.now[g] - shares.before[g])),
        h("td", {}, made === undefined ? "…" : signed(made)),
      );
    });
    const columns = ["Class", "Demanded", "In the maps"];
    const head = columns.map((title) => h("th", { scope: "col" }, title));
    const of = shares.shareOf === "cell" ? "the coarse cell" : "its land";
    const scenario = product.scenarios[a.scenario] ?? product.scenario;
    const source = [shares.title, scenario].filter(Boolean).join(", ");
    const observed =
      product.origins[a.year] === "observed" ? " Observed years have the observed maps." : "";
    this.demandTable.replaceChildren(
      this.demandHeading,
      h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)),
      h("p", { class: "note" }, `Change in percentage points of ${of}; ${source}.${observed}`),
    );
  }

  private axis(): HTMLElement {
    const years = this.product.steps.labels;
    const middle = Math.floor(years.length / 2);
    const labels = years.length > 2 ? [years[0], years[middle], years.at(-1)!] : years;
    return h("div", { class: "axis", "aria-hidden": "true" }, ...labels.map((year) => h("span", {}, year)));
  }

  private yearAt(event: MouseEvent, canvas: HTMLCanvasElement): number {
    const n = this.product.steps.labels.length;
    return Math.min(n - 1, Math.max(0, Math.floor((event.offsetX / canvas.clientWidth) * n)));
  }

  private showTip(event: PointerEvent, canvas: HTMLCanvasElement): void {
    const i = this.yearAt(event, canvas);
    const year = this.product.steps.labels[i];
    if (canvas === this.strip) {
      const quality = this.confidence?.values[i] as number | undefined;
      const certain = this.qualityText(this.series[i], quality);
      this.tip.textContent = `${year}: ${this.nameOf(this.series[i])}${certain}`;
    } else {
      const values = this.fractions?.values[i] as Float32Array | undefined;
      const parts = this.product.classes
        .map(({ name }, k) => ({ name, share: values?.[k] || 0 }))
        .filter(({ share }) => share >= 0.005)
        .sort((one, other) => other.share - one.share)
        .map(({ name, share }) => `${name} ${(100 * share).toFixed(0)} %`);
      this.tip.textContent = `${year}: ${parts.join(", ") || "no land"}`;
    }
    const box = this.element.getBoundingClientRect();
    this.tip.hidden = false;
    const x = Math.min(event.clientX - box.left + 12, box.width - this.tip.offsetWidth - 8);
    this.tip.style.left = `${Math.max(8, x)}px`;
    this.tip.style.top = `${event.clientY - box.top + 18}px`;
  }
}

/** Round to a device pixel, so that neighbours share an edge without a seam. */
function onPixel(length: number): number {
  const ratio = window.devicePixelRatio || 1;
  return Math.round(length * ratio) / ratio;
}

function signed(points: number): string {
  if (Number.isNaN(points)) return "–";
  const text = points.toFixed(2);
  if (Number(text) === 0) return "0";
  return points > 0 ? `+${text}` : text.replace("-", "−");
}

/** Return a place in words, such as 46.005° N, 3.005° E. */
export function placeText({ lat, lon }: { lat: number; lon: number }): string {
  const east = lon > 180 ? lon - 360 : lon;
  const digits = 3;
  const north = `${Math.abs(lat).toFixed(digits)}° ${lat >= 0 ? "N" : "S"}`;
  return `${north}, ${Math.abs(east).toFixed(digits)}° ${east >= 0 ? "E" : "W"}`;
}
