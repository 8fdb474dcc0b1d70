/** The panel: layers, scenario and member, legend with areas, and what the map is compared with. */

import { areaText } from "./areas";
import { h } from "./dom";
import { RAMPS, type Ramp, coloursOf } from "./palettes";
import type { Product } from "./product";
import { type LayerName, type Selection, type State, layersOf } from "./state";
import { nearestStep, spanText } from "./time";
import { digits, meanOf, mostDifference, mostSpread, valueOf } from "./values";

/** Names of the layers but the maps, which the product names. */
const NAMES: Record<Exclude<LayerName, "land_use">, string> = {
  confidence: "Confidence",
  spread: "Spread",
  first_change: "First year of change",
  changes: "Number of changes",
  difference: "Difference of two maps",
  probability: "Probability of a class",
};

export interface PanelActions {
  set(change: Partial<State>): void;
}

export class Panel {
  readonly element: HTMLElement;
  private legend = h("div", { class: "legend" });
  private about = h("p", { class: "about" });
  private comparison: HTMLElement;
  private progress = h("div", { class: "progress", role: "progressbar", "aria-label": "Years read" });
  private mean = h("p", { class: "mean" });
  private rows = new Map<number, { area: HTMLElement; bar: HTMLElement; item: HTMLElement }>();
  private drawnFor = "";
  private swipe: HTMLInputElement;
  private otherYear: HTMLInputElement;
  private ofClass: HTMLSelectElement;
  private ofClassRow: HTMLElement;
  private selects: [HTMLSelectElement, (state: State) => number][] = [];
  readonly body: HTMLElement;

  constructor(
    private product: Product,
    private state: () => State,
    private actions: PanelActions,
    notices: HTMLElement,
    close: HTMLElement,
  ) {
    const { steps } = product;
    const isYearly = steps.perYear === 1;
    this.swipe = h("input", {
      type: "checkbox",
      id: "swipe",
      role: "switch",
      onchange: () => this.actions.set({ swipe: this.swipe.checked }),
    });
    this.otherYear = h("input", {
      type: isYearly ? "number" : "text",
      id: "with-year",
      min: isYearly && steps.years[0],
      max: isYearly && steps.years.at(-1)!,
      step: isYearly && 1,
      "aria-label": `${capitalised(steps.name)} to compare with`,
      onchange: () => {
        const { b } = this.state();
        const year = nearestStep(product, this.otherYear.value) ?? b.year;
        this.actions.set({ b: { ...b, year } });
        this.otherYear.value = steps.labels[year];
      },
    });
    this.comparison = h(
      "div",
      { class: "fields" },
      h("label", { class: "field", for: "with-year" }, h("span", {}, capitalised(steps.name)), this.otherYear),
      ...this.sequenceFields("b", "with-"),
    );
    this.ofClass = h("select", {
      id: "of-class",
      onchange: () => this.actions.set({ ofClass: Number(this.ofClass.value) }),
    });
    for (const { code, name } of product.classes) {
      this.ofClass.append(h("option", { value: code }, name));
    }
    this.ofClassRow = h(
      "label",
      { class: "field", for: "of-class" },
      h("span", {}, "Class"),
      this.ofClass,
    );

    const sequences = this.sequenceFields("a", "");
    this.body = h(
      "div",
      { class: "panel-body", id: "panel-body" },
      notices,
      sequences.length > 0 && h("div", { class: "fields" }, ...sequences),
      h(
        "fieldset",
        { class: "layers" },
        h("legend", {}, "Layer"),
        ...layersOf(product).map((layer) => this.layerChoice(layer)),
      ),
      this.ofClassRow,
      this.progress,
      this.legend,
      this.about,
      h(
        "div",
        { class: "compare" },
        h("label", { class: "switch", for: "swipe" }, this.swipe, h("span", {}, "Swipe between two maps")),
        this.comparison,
      ),
    );
    this.element = h(
      "aside",
      { class: "panel surface", "aria-label": "Layers and legend" },
      h(
        "header",
        { class: "panel-head" },
        h("div", {}, h("h1", {}, product.title), h("p", { class: "subtitle" }, subtitle(product))),
        close,
      ),
      this.body,
    );
  }

  /** Show what the state says. */
  show(): void {
    const state = this.state();
    const { layer, swipe, b } = state;
    for (const input of this.element.querySelectorAll<HTMLInputElement>("input[name=layer]")) {
      input.checked = input.value === layer;
    }
    this.swipe.checked = swipe;
    const compares = swipe || layer === "difference";
    this.comparison.hidden = !compares;
    if (document.activeElement !== this.otherYear) {
      this.otherYear.value = this.product.steps.labels[b.year];
    }
    for (const [select, value] of this.selects) select.value = String(value(state));
    this.ofClassRow.hidden = layer !== "probability";
    this.ofClass.value = String(state.ofClass);
    this.about.textContent = this.aboutText(state);
    const isRamp = this.product.scale !== undefined || (layer !== "land_use" && layer !== "difference");
    const drawnFor = [isRamp ? layer : "classes", state.palette, ...state.hidden].join();
    if (drawnFor !== this.drawnFor) {
      const focused = document.activeElement?.id;
      this.drawnFor = drawnFor;
      this.drawLegend(state, isRamp);
      if (focused) document.getElementById(focused)?.focus();
    }
  }

  /** Show the area in view of each class. */
  showAreas(areas: Map<number, number>): void {
    const { scale } = this.product;
    if (scale !== undefined) {
      const mean = meanOf(scale, areas);
      const text = mean === undefined ? "–" : `${mean.toFixed(2).replace("-", "−")} ${scale.units}`;
      this.mean.textContent = `Mean in view ${text.trim()}`;
      return;
    }
    const total = [...areas.values()].reduce((sum, area) => sum + area, 0);
    const most = Math.max(...areas.values(), 1e-9);
    for (const [code, { area, bar, item }] of this.rows) {
      const km2 = areas.get(code) ?? 0;
      area.textContent = areaText(km2);
      bar.style.width = `${(100 * km2) / most}%`;
      const percent = total > 0 ? (100 * km2) / total : 0;
      item.title = `${percent.toFixed(percent < 10 ? 1 : 0)} % of the land in view`;
    }
  }

  /** Show how many of the years have been read that changes are counted over. */
  showProgress(share: number | undefined): void {
    const isDone = share === undefined || share >= 1;
    this.progress.hidden = isDone;
    if (isDone) return;
    this.progress.style.setProperty("--done", `${100 * share}%`);
    this.progress.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    const { labels } = this.product.steps;
    const year = labels[Math.min(labels.length - 1, Math.floor(share * labels.length))];
    this.progress.textContent = `Reading the maps of all years: ${year}`;
  }

  private layerChoice(layer: LayerName): HTMLElement {
    const id = `layer-${layer}`;
    const input = h("input", {
      type: "radio",
      name: "layer",
      id,
      value: layer,
      onchange: () => this.actions.set({ layer }),
    });
    const name = layer === "land_use" ? this.product.maps.title : NAMES[layer];
    return h("label", { for: id, class: "choice" }, input, h("span", {}, name));
  }

  private sequenceFields(side: "a" | "b", prefix: string): HTMLElement[] {
    const { scenarios, members } = this.product;
    const fields: HTMLElement[] = [];
    const field = (name: "scenario" | "member", labels: string[]) => {
      const id = `${prefix}${name}`;
      const select = h("select", {
        id,
        onchange: () => {
          const selection: Selection = { ...this.state()[side], [name]: Number(select.value) };
          this.actions.set({ [side]: selection });
        },
      });
      labels.forEach((label, value) => select.append(h("option", { value }, label)));
      this.selects.push([select, (state) => state[side][name]]);
      const title = name === "scenario" ? "Scenario" : "Member";
      fields.push(h("label", { class: "field", for: id }, h("span", {}, title), select));
    };
    if (scenarios.length > 1) field("scenario", scenarios);
    if (members > 1) field("member", Array.from({ length: members }, (_, i) => String(i)));
    return fields;
  }

  private drawLegend(state: State, isRamp: boolean): void {
    this.rows.clear();
    if (isRamp) {
      this.legend.replaceChildren(this.rampLegend(state.layer));
      return;
    }
    const colours = coloursOf(this.product.classes, state.palette);
    const list = h("ul", { class: "classes" });
    for (const { code, name } of this.product.classes) {
      const swatch = h("span", { class: "swatch" });
      swatch.style.background = colours.get(code)!;
      const area = h("span", { class: "area" });
      const bar = h("span", { class: "bar" });
      bar.style.background = colours.get(code)!;
      const id = `class-${code}`;
      const toggle = h("input", {
        type: "checkbox",
        id,
        checked: !state.hidden.has(code),
        onchange: () => {
          const hidden = new Set(this.state().hidden);
          if (!hidden.delete(code)) hidden.add(code);
          this.actions.set({ hidden });
        },
      });
      const item = h(
        "li",
        {},
        h("label", { for: id, class: "class" }, toggle, swatch, h("span", { class: "name" }, name)),
        area,
        h("span", { class: "bar-track", "aria-hidden": "true" }, bar),
      );
      this.rows.set(code, { area, bar, item });
      list.append(item);
    }
    const all = h(
      "button",
      { type: "button", class: "link", onclick: () => this.actions.set({ hidden: new Set() }) },
      "show all",
    );
    all.hidden = state.hidden.size === 0;
    const heading = h("div", { class: "legend-head" }, h("h2", {}, "Area in view"), all);
    this.legend.replaceChildren(heading, list);
  }

  private rampLegend(layer: LayerName): HTMLElement {
    const { steps, scale } = this.product;
    const { labels: years } = steps;
    const percent = ["0 %", "50 %", "100 %"];
    const middle = years[Math.floor(years.length / 2)];
    const ofValues: Partial<Record<LayerName, [Ramp, string[]]>> = {};
    if (scale !== undefined) {
      const { levels, step } = scale;
      const at = (share: number) => digits(scale, valueOf(scale, Math.round(share * (levels - 1))));
      const most = mostDifference(scale) * step;
      const spread = mostSpread(scale) * step;
      ofValues.land_use = [scale.colours, [at(0), at(0.5), at(1)]];
      ofValues.difference = [RAMPS.difference, [digits(scale, -most), "0", `+${digits(scale, most)}`]];
      ofValues.spread = [RAMPS.spread, ["0", digits(scale, spread / 2), `${digits(scale, spread)}+`]];
    }
    const scales: Partial<Record<LayerName, [Ramp, string[]]>> = {
      confidence: [RAMPS.confidence, percent],
      probability: [RAMPS.probability, percent],
      first_change: [RAMPS.years, [years[0], middle, years.at(-1)!]],
      changes: [RAMPS.counts, ["1", String(Math.ceil(mostChanges(this.product) / 2)), `${mostChanges(this.product)}+`]],
      ...ofValues,
    };
    const [ramp, labels] = scales[layer]!;
    const gradient = h("div", { class: "ramp" });
    gradient.style.background = `linear-gradient(to right, ${ramp.join(", ")})`;
    const never = layer === "first_change" || layer === "changes";
    return h(
      "div",
      { class: scale && "values" },
      scale && h("p", { class: "units" }, scale.units),
      gradient,
      h("div", { class: "ramp-labels" }, ...labels.map((label) => h("span", {}, label))),
      never && h("p", { class: "quiet-key" }, h("span", { class: "swatch quiet" }), "never changes"),
      layer === "spread" &&
        h("p", { class: "quiet-key" }, h("span", { class: "swatch quiet" }), "observed, without a spread"),
      scale && layer !== "spread" && this.mean,
    );
  }

  private aboutText({ layer, a, b, ofClass }: State): string {
    const { origins, probability, classes, scale } = this.product;
    const years = this.product.steps.labels;
    if (scale !== undefined) {
      if (layer === "land_use") return "Cells without a value show the map below.";
      if (layer === "spread") return "Standard deviation of the predicted value of a cell.";
      return `Value in ${years[a.year]} less that in ${years[b.year]}.`;
    }
    const name = classes.find(({ code }) => code === ofClass)?.name ?? "";
    switch (layer) {
      case "land_use":
      case "spread":
        return "";
      case "confidence":
        return origins[a.year] === "observed"
          ? "Averaged probability of the class of a cell. This year is observed: 100 % everywhere."
          : "Averaged probability of the class of a cell.";
      case "first_change":
        return "The first year in which a cell has another class than the year before.";
      case "changes":
        return "How often a cell changes its class over all years.";
      case "difference":
        return `Cells whose class in ${years[a.year]} differs from that in ${years[b.year]}, in the colour of their class in ${years[a.year]}.`;
      case "probability":
        if (probability === undefined) {
          return `The product stores no probability of every class. Shown is the confidence of cells that are ${name}.`;
        }
        if (probability.array === "class_probability") {
          return `Share of the members in which a cell is ${name}.`;
        }
        return `Probability of ${name}; the product stores it for ${probability.years.join(", ")}, shown is the nearest of these years.`;
    }
  }
}

/** End of the scale of numbers of changes. */
export function mostChanges(product: Product): number {
  return Math.max(2, Math.min(8, product.steps.labels.length - 1));
}

function capitalised(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function subtitle(product: Product): string {
  const { steps, levels, scenario, scenarios } = product;
  const km = levels[0].step * 111.2;
  const size = km < 1.5 ? `${km.toFixed(km < 0.95 ? 1 : 0)} km` : `${levels[0].step}°`;
  const span = spanText(steps, 0, steps.labels.length - 1);
  const which = scenarios.length === 1 ? scenarios[0] : scenarios.length === 0 ? scenario : "";
  return [span, size, which].filter(Boolean).join(" · ");
}
