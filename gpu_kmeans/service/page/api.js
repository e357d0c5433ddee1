/** Talking to the service: JSON, uploads, downloads, event streams, and the key where one is needed. */
import { button, field, h } from './dom.js';

const KEY = 'gpu-kmeans-key';

/** What the service, or the way to it, refused; the message is a sentence for people. */
export class Failure extends Error {
  constructor(message, { status = 0, code = '', retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

/** What the service says where a model or a version that the page shows is not there any more. */
const GONE = ['unknown_model', 'unknown_version', 'no_active_version', 'version_corrupt'];

/** The event on the window that tells of it. */
export const OUTDATED = 'outdated';

/**
 * The path of a resource, with those parameters that have a value; a list is one of each. It is
 * relative to the page, which may lie under a prefix that a proxy takes away.
 */
export function path(parts, parameters = {}) {
  const given = Object.entries(parameters)
    .flatMap(([name, value]) => [value].flat().map((each) => [name, each]))
    .filter(([, value]) => value != null);
  const query = given.length ? `?${new URLSearchParams(given)}` : '';
  return `v1/${parts.map(encodeURIComponent).join('/')}${query}`;
}

export const get = async (where, signal) => (await send(where, { signal })).json();

export async function post(where, body) {
  const response = await send(where, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  return response.json();
}

/** Upload a file; with a revision, only to the data set that has it still. */
export async function put(where, file, type, revision) {
  const headers = { 'Content-Type': type, ...ifStill(revision) };
  return (await send(where, { method: 'PUT', headers, body: file })).json();
}

export const remove = (where, revision) => send(where, { method: 'DELETE', headers: ifStill(revision) });

const ifStill = (revision) => (revision ? { 'If-Match': `"${revision}"` } : {});

const remembered = new Map();

export const forget = () => remembered.clear();

/** As `get`, for what does not change: a version of a model is never written twice. */
export function getOnce(where) {
  if (!remembered.has(where)) {
    const answer = get(where);
    remembered.set(where, answer);
    answer.catch(() => remembered.delete(where));
  }
  return remembered.get(where);
}

/** By way of a blob, because a plain link could not send the key. */
export async function download(where, name) {
  const blob = await (await send(where, {})).blob();
  const address = URL.createObjectURL(blob);
  h('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/**
 * Read an event stream to its `end`, going on where it stopped when the connection breaks.
 * (EventSource would do so too, but cannot send a key.)
 *
 * @yields {{event: string, data: any}}
 */
export async function* events(where, signal) {
  let last;
  for (let failures = 0; ; failures += 1) {
    try {
      const headers = last ? { 'Last-Event-ID': last } : {};
      const response = await send(where, { headers, signal });
      for await (const { id, event, data } of messages(response.body)) {
        last = id ?? last;
        failures = 0;
        yield { event, data: JSON.parse(data) };
        if (event === 'end') return;
      }
    } catch (error) {
      const final = error.status >= 400 && error.status < 500;
      if (signal.aborted || final || failures >= 5) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** failures));
  }
}

async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) {
      const message = {};
      for (const line of block.split(/\r?\n/)) {
        const [, name, content] = /^([^:]+): ?(.*)$/.exec(line) ?? [];
        if (name === 'data' && 'data' in message) message.data += `\n${content}`;
        else if (name) message[name] = content;
      }
      if (message.data) yield message;
    }
  }
}

export async function send(where, options) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    let response;
    try {
      response = await fetch(where, { ...options, headers });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Failure('The server does not answer. It may have stopped, or the connection is down.');
    }
    if (response.ok) return response;
    const failed = await failureOf(response);
    if (response.status !== 401) throw failed;
    // Where another request has got a new key meanwhile, that one is tried first.
    if (sessionStorage.getItem(KEY) === key && !(await askForKey(Boolean(key)))) throw failed;
  }
}

async function failureOf(response) {
  const problem = await response.json().catch(() => ({}));
  const message = problem.detail ?? `The server answered with an error (${response.status}).`;
  const { status, headers } = response;
  if (GONE.includes(problem.code)) dispatchEvent(new Event(OUTDATED));
  return new Failure(message, { status, code: problem.code, retryAfter: Number(headers.get('Retry-After')) || 0 });
}

let asking = null;

/** Ask once, however many requests wait for the key; false where the reader gives up. */
function askForKey(refused) {
  asking ??= new Promise((resolve) => {
    const input = h('input', {
      name: 'key', type: 'password', required: true, autocomplete: 'off', pattern: '[!-~]+', title: 'The key, without spaces',
    });
    const form = h('form', {},
      h('h2', {}, refused ? 'That key was not accepted' : 'This service needs a key'),
      field('Key', input, 'Whoever runs the service has it. It is forgotten when you close this tab.'),
      h('p', { class: 'actions' },
        h('button', { class: 'main' }, 'Go on'), button('Cancel', () => dialog.close())));
    const dialog = h('dialog', { class: 'small', onclose: () => done(false) }, form);
    const done = (given) => {
      asking = null;
      dialog.remove();
      resolve(given);
    };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, input.value);
      done(true);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}
