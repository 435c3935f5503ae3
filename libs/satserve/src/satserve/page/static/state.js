/** What the page shows, kept in the address, so that a link leads to the same and the back button works. */

/**
 * @typedef {object} State
 * @property {"map" | "regions"} view
 * @property {string} region name of the region
 * @property {string} day as YYYY-MM-DD
 * @property {string} column
 * @property {string} field external id; empty: none
 * @property {string} asOf an instant in ISO 8601; empty: now
 * @property {"none" | "truecolor" | "ndvi"} layer
 */

/** @type {State} */
const DEFAULTS = { view: "map", region: "", day: "", column: "", field: "", asOf: "", layer: "none" };

/** @type {[keyof State, string][]} */
const NAMES = [
  ["view", "view"],
  ["region", "region"],
  ["day", "day"],
  ["column", "column"],
  ["field", "field"],
  ["asOf", "as-of"],
  ["layer", "layer"],
];

/**
 * The state of an address.
 * @param {string} search
 * @returns {State}
 */
export function stateOf(search) {
  const given = new URLSearchParams(search);
  const state = { ...DEFAULTS };
  for (const [name, parameter] of NAMES) {
    Object.assign(state, { [name]: given.get(parameter) ?? DEFAULTS[name] });
  }
  if (state.view !== "regions") state.view = "map";
  if (state.layer !== "truecolor" && state.layer !== "ndvi") state.layer = "none";
  return state;
}

/**
 * The address of a state.
 * @param {State} state
 */
export function addressOf(state) {
  const given = new URLSearchParams();
  for (const [name, parameter] of NAMES) {
    if (state[name] !== DEFAULTS[name]) given.set(parameter, state[name]);
  }
  const query = given.toString();
  return location.pathname + (query ? `?${query}` : "");
}
