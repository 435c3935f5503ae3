/** Asking the service: the key goes in a header, errors are told in the service's own words. */

const KEY = "satfields-key";
const MOST_KEPT = 60;

/** The service, whatever path it is served under. */
export const BASE = new URL("./", document.baseURI);

/** What the service refused to answer. */
export class Refused extends Error {
  /**
   * @param {number} status of HTTP; 0 where there was no answer
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** @returns {Record<string, string>} */
export function keyHeaders() {
  const key = sessionStorage.getItem(KEY);
  return key ? { authorization: `Bearer ${key}` } : {};
}

/** @param {string} key */
export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** @type {(why: string) => Promise<void>} */
let askForKey = () => Promise.reject(new Refused(401, "a key is needed"));

/**
 * What asks for a key, and resolves when there is one.
 * @param {(why: string) => Promise<void>} ask
 */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/** @type {Promise<void> | null} */
let asking = null;

/**
 * An answer.
 * @param {string} path below the service, each part quoted
 * @param {Record<string, string | number>} [parameters]
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
export async function ask(path, parameters = {}, signal) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== "") url.searchParams.set(name, String(value));
  }
  for (;;) {
    const headers = keyHeaders();
    /** @type {Response} */
    let response;
    try {
      response = await fetch(url, { headers: { accept: "*/*", ...headers }, signal: signal ?? null });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Refused(0, "The service can't be reached. Is satserve running?");
    }
    if (response.ok) return response;
    /** @type {{detail?: string}} */
    const problem = await response.json().catch(() => ({}));
    const detail = problem.detail ?? `The service answered with status ${response.status}.`;
    if (response.status !== 401) throw new Refused(response.status, detail);
    const why = headers.authorization ? `The key was refused: ${detail}` : "";
    asking ??= askForKey(why).finally(() => (asking = null));
    await asking;
  }
}

/** @type {Map<string, Promise<any>>} */
const kept = new Map();

/**
 * The document of an answer, kept while the page is open.
 * @param {string} path
 * @param {Record<string, string | number>} [parameters]
 * @returns {Promise<any>}
 */
export function json(path, parameters = {}) {
  const name = path + JSON.stringify(parameters);
  const known = kept.get(name);
  if (known) {
    kept.delete(name);
    kept.set(name, known);
    return known;
  }
  const asked = ask(path, parameters).then((response) => response.json());
  kept.set(name, asked);
  asked.catch(() => kept.delete(name));
  const oldest = kept.keys().next().value;
  if (kept.size > MOST_KEPT && oldest !== undefined) kept.delete(oldest);
  return asked;
}

/**
 * All pages of an answer, as their links lead on.
 * @param {string} path
 * @param {Record<string, string | number>} [parameters]
 * @returns {Promise<any[]>}
 */
export async function pages(path, parameters = {}) {
  /** @type {any[]} */
  const found = [];
  let cursor = "";
  do {
    const page = await json(path, { ...parameters, cursor });
    found.push(page);
    /** @type {{rel: string, href: string} | undefined} */
    const next = page.links.find((/** @type {{rel: string}} */ link) => link.rel === "next");
    cursor = next ? new URLSearchParams(next.href.split("?")[1]).get("cursor") ?? "" : "";
  } while (cursor);
  return found;
}

/** Forget all answers: corrections may have come. */
export function forget() {
  kept.clear();
}

/**
 * A path of names.
 * @param {...string} parts
 */
export function pathOf(...parts) {
  return parts.map(encodeURIComponent).join("/");
}
