/** A fit: the form that starts it, and how it goes. */
import { ELSEWHERE, go, link } from './address.js';
import { events, path, post } from './api.js';
import { inertiaCurve } from './charts.js';
import { chooser } from './choose.js';
import { announce, button, count, date, failure, field, fill, h, inertia } from './dom.js';

export const STATES = {
  queued: 'waiting', running: 'running', succeeded: 'done', failed: 'failed', cancelled: 'cancelled', interrupted: 'interrupted',
};
const LIVE = ['queued', 'running'];
const STAGES = {
  read: 'Read the file', vectorise: 'Encode the rows', reduce: 'Reduce them', choose: 'Choose a number of clusters',
  cluster: 'Find the clusters', judge: 'Judge them', save: 'Save the model',
};
/** Those that only some fits have. */
const OPTIONAL = { reduce: ({ reduce }) => reduce, choose: ({ n_clusters: k }) => k === 'auto' };

const numeric = (name, value, properties) =>
  h('input', { type: 'number', name, value, min: 1, step: 1, inputmode: 'numeric', ...properties });
const select = (name, options) =>
  h('select', { name }, Object.entries(options).map(([value, label]) => h('option', { value }, label)));
const tick = (label, name, checked) =>
  h('label', { class: 'inline' }, h('input', { type: 'checkbox', name, checked }), ` ${label}`);

/**
 * The form that starts a fit. It says which data it takes, and what comes of it; the data that
 * were chosen are never exchanged for others, even where they are gone meanwhile.
 *
 * @param {{name: string, meaning: string}[]} algorithms of the service
 * @param {(message?: Node) => Promise<void>} changed to be called when the data are not as listed
 * @returns {{form: Element, show: (datasets: object[], models: object[], chosen?: string) => void, take: (job: object, k: number) => void}}
 */
export function fitForm(algorithms, changed) {
  const outcome = h('div', { 'aria-live': 'polite' });
  const submit = h('button', { class: 'main' });
  const data = h('select', { name: 'dataset', required: true });
  const effect = h('p', { class: 'hint' });
  let datasets = [];
  let models = [];
  const form = h('form', { class: 'stack' },
    field('Data', data),
    field('Number of clusters', numeric('n_clusters', 10), 'Few give broad groups, many give narrow ones. Ten to a hundred suit most collections.'),
    chooser(() => asked(), (id) => {
      go({ tab: 'build', job: null, choice: id, k: null });
      scrollTo(0, 0);
    }),
    h('details', {}, h('summary', {}, 'More choices'), h('div', { class: 'grid' },
      field('Name of the model', h('input', { name: 'model', pattern: '[a-z0-9_\\-]{1,64}', placeholder: 'as the data', autocomplete: 'off' })),
      field('Seed', numeric('seed', 42, { min: 0 }), 'The same seed gives the same clusters.'),
      field('Method', select('algorithm', { auto: 'as suits the data', ...Object.fromEntries(algorithms.map(({ name, meaning }) => [name, `${name}: ${meaning}`])) })),
      field('Most iterations', numeric('max_iter', 300)),
      field('Words to skip', select('stop_words', { english: 'common English words', '': 'none' })),
      field('Longest phrase', select('longest', { 1: 'single words', 2: 'two words', 3: 'three words' })),
      field('Rare words', numeric('min_df', 1), 'Skip words that fewer texts than this have.'),
      field('Frequent words', numeric('max_share', '', { max: 99, placeholder: 'keep all' }), 'Skip words that more than this percentage of texts has.'),
      field('Most words kept', numeric('max_features', '', { placeholder: 'no limit' })),
      field('Runs on', select('backend', { auto: 'GPU if there is one', cpu: 'CPU', gpu: 'GPU' }))),
    tick('Count repeated words for less', 'sublinear_tf', false)),
    tick('Let the result answer at once', 'activate', true),
    effect, h('p', { class: 'actions' }, submit), outcome);

  const asked = () => {
    const { revision } = datasets.find(({ name }) => name === data.value) ?? {};
    if (!revision) form.reportValidity();
    return { ...request(new FormData(form)), revision };
  };
  const say = () => {
    const chosen = datasets.find(({ name }) => name === data.value);
    submit.textContent = chosen ? `Make clusters of “${chosen.name}”` : 'Make clusters';
    effect.replaceChildren(...(chosen ? effectOf(chosen, new FormData(form), models) : ['Choose the data first.']));
  };
  const show = (listed, known, chosen) => {
    [datasets, models] = [listed, known];
    const before = data.value;
    const wanted = chosen ?? (before || (datasets.length === 1 ? datasets[0].name : ''));
    const there = datasets.some(({ name }) => name === wanted);
    data.replaceChildren(
      !there && h('option', { value: '', selected: true }, wanted ? `“${wanted}” is gone: choose other data` : 'Choose the data'),
      ...datasets.map(({ name, rows }) => h('option', { value: name, selected: name === wanted }, `${name}, ${count(rows, 'row')}`)));
    say();
  };
  form.addEventListener('input', say);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    submit.disabled = true;
    outcome.replaceChildren();
    try {
      const job = await post(path(['jobs']), asked());
      go({ tab: 'build', job: job.id, choice: null, k: null }); // the first model would make search the view to begin with
      scrollTo(0, 0);
    } catch (error) {
      outcome.replaceChildren(failure(error));
      if (OUTDATED_DATA.includes(error.code)) await changed();
    } finally {
      submit.disabled = false;
    }
  });
  /** Fill in the number that was picked, and what it was compared with. */
  const take = ({ dataset, parameters }, k) => {
    if (![...data.options].some(({ value }) => value === dataset)) return;
    const { ngram_range: [, longest], max_df: share, stop_words: words, ...same } = parameters;
    const values = { ...same, dataset, n_clusters: k, longest, stop_words: words ?? '', max_share: share < 1 ? 100 * share : '' };
    for (const [name, value] of Object.entries(values)) {
      const input = form.elements[name];
      if (input?.type === 'checkbox') input.checked = value;
      else if (input && typeof value !== 'object') input.value = value;
    }
    say();
  };
  return { form, show, take };
}

const OUTDATED_DATA = ['dataset_changed', 'unknown_dataset'];

/** What a fit takes, and what it will change. */
function effectOf(data, form, models) {
  const name = form.get('model').trim() || data.name;
  const before = models.find((model) => model.name === name);
  const made = before ? `Makes a new version of the model “${name}”` : `Makes the model “${name}”`;
  const then = form.has('activate') || !before?.active
    ? `, which answers at once${before?.active ? ` in place of version ${before.active}` : ''}.`
    : `; version ${before.active} goes on answering.`;
  return [`Takes “${data.name}”, ${count(data.rows, 'row')}, uploaded `, date(data.updated), `. ${made}${then}`];
}

/** What the form asks for. A share of all texts is left out: JSON cannot tell 1.0 from 1 text. */
function request(form) {
  const whole = (name) => (form.get(name) === '' ? undefined : Number(form.get(name)));
  const share = whole('max_share');
  return {
    dataset: form.get('dataset'),
    model: form.get('model').trim() || form.get('dataset'),
    activate: form.has('activate'),
    parameters: {
      n_clusters: whole('n_clusters'), seed: whole('seed'), max_iter: whole('max_iter'),
      algorithm: form.get('algorithm'), backend: form.get('backend'),
      stop_words: form.get('stop_words') || null, ngram_range: [1, whole('longest')],
      min_df: whole('min_df'), max_df: share && share / 100, max_features: whole('max_features'),
      sublinear_tf: form.has('sublinear_tf'),
    },
  };
}

/** Follow a fit to its end. */
export function watch(region, id, signal, { refresh, renew }) {
  const title = h('h2', {});
  const source = h('p', { class: 'quiet' });
  const stages = h('ol', { class: 'stages' });
  const line = h('p', { class: 'figures' });
  const outcome = h('div', { 'aria-live': 'polite' });
  const cancel = button('Cancel this fit', () => {
    cancel.disabled = true;
    post(path(['jobs', id, 'cancel'])).catch((error) => {
      cancel.disabled = false;
      outcome.replaceChildren(failure(error));
    });
  });
  const curve = inertiaCurve(signal);
  const history = [];
  const job = {};
  let alive = false; // seen before its end

  const showState = () => {
    title.textContent = `${job.model}, ${job.parameters.n_clusters} clusters: ${STATES[job.state]}`;
    source.textContent = `Made of the data “${job.dataset}”.`;
    const all = Object.keys(STAGES).filter((stage) => !OPTIONAL[stage] || OPTIONAL[stage](job.parameters));
    const at = job.state === 'succeeded' ? all.length : all.indexOf(job.stage);
    stages.replaceChildren(...all.map((stage, place) => h('li', {
      class: place < at ? 'done' : '', 'aria-current': place === at ? 'step' : null,
    }, STAGES[stage])));
    stages.hidden = at < 0 && !LIVE.includes(job.state); // what it was at when it ended is not told
    cancel.hidden = !LIVE.includes(job.state);
    if (job.queue_position) outcome.replaceChildren(h('p', {}, `Number ${job.queue_position} in the queue.`));
    else if (job.state === 'running') outcome.replaceChildren();
  };
  const handle = {
    state: (data) => {
      Object.assign(job, data);
      alive ||= LIVE.includes(job.state);
    },
    stage: ({ stage }) => {
      job.stage = stage;
      if (STAGES[stage]) announce(STAGES[stage]);
    },
    progress: ({ stage, iteration, inertia: value, moved }) => {
      history.push([stage, iteration, value]);
      if (stage === 'sketch') return;
      line.textContent = `Iteration ${iteration} · inertia ${inertia(value)}${moved == null ? '' : ` · ${count(moved, 'item')} moved`}`;
    },
    end: (data) => {
      Object.assign(job, data);
      outcome.replaceChildren(...ending(job));
      announce(`${job.model}: ${STATES[job.state]}`);
      if (!alive) return;
      renew();
      if (job.state === 'succeeded') refresh();
    },
  };

  return fill(region, signal, async () => {
    region.replaceChildren(title, source, stages, curve.figure, line, outcome, h('p', { class: 'actions' },
      cancel, link({ job: null }, { class: 'button plain' }, 'Close')));
    region.removeAttribute('aria-busy');
    let stale = false;
    history.length = 0;
    for await (const { event, data } of events(path(['jobs', id, 'events']), signal)) {
      handle[event]?.(data);
      if (event !== 'progress') showState();
      // Iterations may come faster than one can look; the curve is drawn once a moment.
      if (!stale) {
        stale = true;
        setTimeout(() => {
          stale = false;
          curve.update(history);
        }, 150);
      }
    }
    return [...region.childNodes];
  });
}

function ending(job) {
  if (job.error) return [h('div', { class: 'note bad' }, h('p', {}, job.error.detail))];
  if (job.state === 'interrupted') return [h('p', { class: 'note' }, 'The server stopped meanwhile. Start it again below.')];
  if (job.state !== 'succeeded') return [];
  const made = { model: job.model, v: job.version, ...ELSEWHERE, q: null };
  return [h('p', { class: 'note good' }, `Version ${job.version} of ${job.model} is ready. `,
    link({ ...made, tab: 'search' }, {}, 'Search it'), ', ',
    link({ ...made, tab: 'map' }, {}, 'see its map'), ' or ',
    link({ ...made, tab: 'report' }, {}, 'read the report'), '.')];
}
