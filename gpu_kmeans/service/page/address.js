/**
 * The state of the page: all of it stands in the address, after the #. So any view can be
 * linked, the back button works, and what is searched for never reaches a log.
 *
 * Keys: `tab`, `model`, `v` (version), `q` (query), `rank`, `in` (clusters), `where` (conditions),
 * `like` and `less` (ids of items), `spread` (clusters are mixed), `n` (results), `cluster`,
 * `item`, `job`, `down` (group of clusters), `choice` (comparison of numbers of clusters) and `k`
 * (the one taken), `with`, `other` and `flow` (version, model and band of a comparison). Several
 * values of one key stand on lines of their own.
 *
 * @typedef {Object<string, string>} State
 */
import { h } from './dom.js';

/** @returns {State} */
export const read = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

/** The address of the present state with some changes; null takes a key away. */
export function address(changes) {
  const kept = Object.entries({ ...read(), ...changes }).filter(([, value]) => value != null && value !== '');
  return `#${new URLSearchParams(kept)}`;
}

export function go(changes) {
  location.hash = address(changes);
}

/**
 * Change the address without a step in the history, and without showing anything anew. Links
 * follow at once: one that is clicked before the next look would bring the old state back.
 */
export function replace(changes) {
  history.replaceState(null, '', address(changes));
  refreshLinks();
}

/** What another version or model has under other numbers, or not at all. */
export const ELSEWHERE = {
  cluster: null, down: null, with: null, other: null, flow: null, item: null, n: null, in: null, where: null, like: null, less: null,
};

/** The values of a key that may have several. */
export const listed = (value) => (value ? value.split('\n').filter(Boolean) : []);

/** The same with one value more, or less where it is there; null where none is left. */
export function toggled(value, one) {
  const text = String(one);
  const values = listed(value);
  const rest = values.filter((each) => each !== text);
  return (rest.length < values.length ? rest : [...values, text]).join('\n') || null;
}

/** A link that changes the state; it keeps up when other parts of the state change. */
export function link(changes, properties, ...children) {
  return h('a', { ...properties, href: address(changes), 'data-go': JSON.stringify(changes) }, ...children);
}

/** Bring the links already on the page up to the present state. */
export function refreshLinks() {
  for (const each of document.querySelectorAll('a[data-go]')) each.href = address(JSON.parse(each.dataset.go));
}
