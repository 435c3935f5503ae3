/** Searching a field by its name or id: a combobox with a list of suggestions. */

import { byId, h } from "./dom.js";

/** @typedef {import("./region_day.js").FieldInfo} FieldInfo */

const MOST = 8;

export class Search {
  /** @param {(id: string) => void} choose */
  constructor(choose) {
    this.choose = choose;
    /** @type {FieldInfo[]} */
    this.fields = [];
    /** @type {FieldInfo[]} */
    this.matches = [];
    this.at = -1;
    /** @type {HTMLInputElement} */
    this.input = byId("search");
    this.list = byId("suggestions");
    this.input.addEventListener("input", () => this.suggest());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the input keeps the focus
      const option = /** @type {Element} */ (event.target).closest("[data-n]");
      if (option) this.take(Number(option.getAttribute("data-n")));
    });
  }

  suggest() {
    const words = this.input.value.trim().toLowerCase();
    const text = (/** @type {FieldInfo} */ field) => `${field.name}\n${field.id}`.toLowerCase();
    const begins = (/** @type {FieldInfo} */ field) => (text(field).startsWith(words) || field.id.toLowerCase().startsWith(words) ? 0 : 1);
    this.matches = words ? this.fields.filter((field) => text(field).includes(words)).sort((a, b) => begins(a) - begins(b)).slice(0, MOST) : [];
    this.at = this.matches.length ? 0 : -1;
    this.draw(Boolean(words));
  }

  /** @param {boolean} open */
  draw(open) {
    const options = this.matches.map((field, n) =>
      h("li", { role: "option", id: `suggestion-${n}`, "data-n": n, "aria-selected": n === this.at ? "true" : "false" },
        h("span", {}, field.name), h("span", { class: "hint" }, field.id)));
    const none = h("li", { role: "option", "aria-disabled": "true", class: "hint" }, "No field of this region");
    this.list.replaceChildren(...(options.length ? options : [none]));
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    if (this.at >= 0 && open) this.input.setAttribute("aria-activedescendant", `suggestion-${this.at}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "Escape") this.close();
    if (event.key === "Enter" && this.at >= 0) this.take(this.at);
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && this.matches.length) {
      event.preventDefault();
      const count = this.matches.length;
      this.at = (this.at + (event.key === "ArrowDown" ? 1 : count - 1)) % count;
      this.draw(true);
    }
  }

  /** @param {number} n */
  take(n) {
    const field = this.matches[n];
    if (!field) return;
    this.input.value = "";
    this.close();
    this.choose(field.id);
  }

  close() {
    this.at = -1;
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}
