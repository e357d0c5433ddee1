/** Nodes, words and numbers. Data reaches the page through text nodes and attributes only. */

/**
 * Make an element: `onclick` and the like become listeners, the rest attributes.
 * Children that are null or false are left out; texts become text nodes.
 *
 * @param {string} tag
 * @param {Object<string, any>} [properties]
 */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

export const button = (label, onclick, properties) =>
  h('button', { type: 'button', onclick, ...properties }, label);

const plain = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const precise = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });

/** A number as one reads it aloud: 1,235; 87.4; 0.042. */
export const number = (value) => (Math.abs(value) >= 1000 ? whole : plain).format(value);
/** An inertia, with the digits that tell good from better. */
export const inertia = (value) => (Math.abs(value) >= 100 ? precise : plain).format(value);
export const count = (many, thing) => `${whole.format(many)} ${thing}${many === 1 ? '' : 's'}`;
export const percent = (share) => `${plain.format(100 * share)}\u00a0%`;
export const date = (iso) => h('time', { datetime: iso }, moment.format(new Date(iso)));
export const size = (bytes) =>
  bytes < 1e6 ? `${plain.format(bytes / 1e3)} kB` : `${number(bytes / 1e6)} MB`;

/** Tell a screen reader. */
export function announce(text) {
  document.getElementById('status').textContent = text;
}

/** A labelled field with an optional hint below it. */
export function field(label, input, hint) {
  if (hint) input.setAttribute('aria-describedby', `${(input.id ||= `${input.name}-field`)}-hint`);
  return h('div', { class: 'field' },
    h('label', {}, h('span', {}, label), input),
    hint && h('p', { class: 'hint', id: `${input.id}-hint` }, hint));
}

/** A note with a title, for what is empty or amiss. */
export const note = (title, ...children) =>
  h('div', { class: 'note' }, h('h2', {}, title), ...children);

/**
 * Ask before something that cannot be undone; the button says what it does.
 *
 * @returns {Promise<boolean>} whether to go on
 */
export function ask(question, consequence, action) {
  return new Promise((resolve) => {
    const dialog = h('dialog', { class: 'small ask', 'aria-label': question, onclose: () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    } },
      h('h2', {}, question), h('p', {}, consequence),
      h('p', { class: 'actions' },
        button(action, () => dialog.close('yes'), { class: 'main' }),
        button('Cancel', () => dialog.close(), { autofocus: true })));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** What went wrong, in the server's words, and a way to try again. */
export function failure(error, retry) {
  if (error.status === undefined) console.error(error); // not the service's, but a fault of this page
  const wait = error.retryAfter ? ` Try again in ${count(error.retryAfter, 'second')}.` : '';
  return h('div', { class: 'note bad', role: 'alert' },
    h('p', {}, error.message + wait),
    retry && button('Try again', retry));
}

/**
 * Fill a region with what `make` promises. What stood there stays, dimmed, while it is awaited;
 * an empty region says that it waits once that takes noticeably long.
 *
 * @param {Element} region
 * @param {AbortSignal} signal aborted when something else is to fill the region
 * @param {() => Promise<Node[]>} make
 */
export async function fill(region, signal, make) {
  region.setAttribute('aria-busy', 'true');
  const patience = setTimeout(() => {
    if (!region.hasChildNodes()) region.append(h('p', { class: 'waiting' }, 'Loading'));
  }, 200);
  try {
    const content = await make();
    if (!signal.aborted) region.replaceChildren(...content);
  } catch (error) {
    if (!signal.aborted) region.replaceChildren(failure(error, () => fill(region, signal, make)));
  } finally {
    clearTimeout(patience);
    if (!signal.aborted) region.removeAttribute('aria-busy');
  }
}
