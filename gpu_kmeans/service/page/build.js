/** Build: from a file of texts to a model. Three steps: the data, the fit, and watching it. */
import { ELSEWHERE, go, link } from './address.js';
import { watchChoice } from './choose.js';
import { get, path } from './api.js';
import { fill, date, h } from './dom.js';
import { fitForm, STATES, watch } from './fit.js';
import { modelForm } from './model_upload.js';
import { dataForm, dataList } from './upload.js';

const RUNS = 20;

const welcome = h('div', {});
const run = h('div', { class: 'region' });
const data = h('div', { class: 'region' });
const said = h('div', { 'aria-live': 'polite' });
const upload = h('details', {});
const fit = h('div', {});
const runs = h('div', { class: 'region' });
let context;
let forms = null; // made once: what is filled in stays, whatever the lists turn out to be

/** @type {import('./main.js').View} */
export const build = {
  id: 'build',
  label: 'Build',
  keys: ['job', 'choice', 'k'],
  modelless: true,

  mount(panel) {
    panel.append(welcome, run, h('div', { class: 'steps' },
      h('section', {}, h('h2', {}, '1. Data'), said, data, upload),
      h('section', {}, h('h2', {}, '2. Make clusters'), fit),
      h('section', {}, h('h2', {}, 'Runs so far'), runs,
        h('details', {}, h('summary', {}, 'Bring a model made elsewhere'), modelForm(null, async ({ model, version }) => {
          await context.refresh();
          go({ tab: 'clusters', model, v: version, job: null, choice: null, k: null, ...ELSEWHERE });
        })))));
  },

  show(shown) {
    const { state, model, limits, algorithms, signal, refresh } = shown;
    context = shown;
    welcome.replaceChildren(...(model ? [h('h1', { class: 'unseen' }, 'Build')] : [
      h('h1', {}, 'What is in your data?'),
      h('p', { class: 'lead' }, 'Bring a table of texts, of numbers and categories, or a matrix. You get groups of rows that are alike, what sets each apart, a map of them, and for texts a search that says why.'),
    ]));
    run.replaceChildren();
    forms ??= { data: dataForm(limits, changed), fit: fitForm(algorithms, changed) };
    const listed = listData();
    if (state.choice) {
      watchChoice(run, state.choice, signal, {
        renew: build.renew,
        picked: Number(state.k) || null,
        goOn: () => forms.fit.form.querySelector('button.main').focus(),
        take: (job, k) => listed.then(() => forms.fit.take(job, k)),
      });
    } else if (state.job) watch(run, state.job, signal, { refresh, renew: build.renew });
    listRuns();
  },

  renew() {
    listRuns();
    listData();
  },
};

/** Say what happened to the data, and list them anew; `chosen` is the one to go on with. */
async function changed(message, chosen) {
  said.replaceChildren(...[message].filter(Boolean));
  await listData(chosen);
}

function listRuns() {
  const { signal } = context;
  return fill(runs, signal, async () => {
    const { jobs } = await get(path(['jobs'], { limit: RUNS }), signal);
    if (!jobs.length) return [h('p', { class: 'quiet' }, 'None yet.')];
    return [h('ul', { class: 'rows' }, jobs.map((job) => h('li', {},
      job.kind === 'choose-k' ? link({ tab: 'build', job: null, choice: job.id, k: null }, {}, `${job.dataset}, how many clusters?`)
        : link({ tab: 'build', job: job.id, choice: null, k: null }, {}, `${job.model}${job.version ? `, version ${job.version}` : ''}, ${job.parameters.n_clusters} clusters`),
      h('span', { class: `state ${job.state}` }, STATES[job.state]),
      h('span', { class: 'quiet' }, date(job.created)))))];
  });
}

function listData(chosen) {
  const { signal } = context;
  return fill(data, signal, async () => {
    const [{ datasets }, { models }] = await Promise.all([get(path(['datasets']), signal), get(path(['models']), signal)]);
    if (signal.aborted) return [];
    forms.data.show(datasets);
    forms.fit.show(datasets, models, chosen);
    if (!upload.hasChildNodes()) upload.open = !datasets.length;
    else if (chosen) upload.open = false;
    upload.replaceChildren(h('summary', {}, datasets.length ? 'Upload another file' : 'Upload a file'), forms.data.form);
    fit.replaceChildren(datasets.length ? forms.fit.form : h('p', { class: 'quiet' }, 'This comes next, once there is data.'));
    return datasets.length ? [dataList(datasets, changed)] : [];
  });
}
