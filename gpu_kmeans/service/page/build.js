/** Build: from a file of texts to a model. Three steps: the data, the fit, and watching it. */
import { link } from './address.js';
import { get } from './api.js';
import { fill, date, h } from './dom.js';
import { fitForm, STATES, watch } from './fit.js';
import { dataForm, dataList } from './upload.js';

const welcome = h('div', {});
const run = h('div', { class: 'region' });
const data = h('div', { class: 'region' });
const fit = h('div', { class: 'region' });
const runs = h('div', { class: 'region' });
let listed = null; // the datasets for which the forms were made: what is filled in stays while they do

/** @type {import('./main.js').View} */
export const build = {
  id: 'build',
  label: 'Build',
  keys: ['job'],
  modelless: true,

  mount(panel) {
    panel.append(welcome, run, h('div', { class: 'steps' },
      h('section', {}, h('h2', {}, '1. Data'), data),
      h('section', {}, h('h2', {}, '2. Make clusters'), fit),
      h('section', {}, h('h2', {}, 'Runs so far'), runs)));
  },

  show({ state, model, limits, signal, refresh }) {
    welcome.replaceChildren(...(model ? [h('h1', { class: 'unseen' }, 'Build')] : [
      h('h1', {}, 'What is in your texts?'),
      h('p', { class: 'lead' }, 'Bring a table of films, books, products or notes, one text a row. You get groups of texts that use the same words, a map of them, and a search that says why.'),
    ]));
    run.replaceChildren();
    if (state.job) watch(run, state.job, signal, { refresh, listRuns: () => listRuns(signal) });
    listRuns(signal);
    listData(limits, signal);
  },
};

function listRuns(signal) {
  return fill(runs, signal, async () => {
    const { jobs } = await get('/v1/jobs?limit=20', signal);
    if (!jobs.length) return [h('p', { class: 'quiet' }, 'None yet.')];
    return [h('ul', { class: 'rows' }, jobs.map((job) => h('li', {},
      link({ tab: 'build', job: job.id }, {}, `${job.model}, ${job.parameters.n_clusters} clusters`),
      h('span', { class: `state ${job.state}` }, STATES[job.state]),
      h('span', { class: 'quiet' }, date(job.created)))))];
  });
}

function listData(limits, signal) {
  return fill(data, signal, async () => {
    const { datasets } = await get('/v1/datasets', signal);
    const now = JSON.stringify(datasets);
    if (now === listed) return [...data.childNodes];
    listed = now;
    const again = () => listData(limits, signal);
    fit.replaceChildren(datasets.length ? fitForm(datasets) : h('p', { class: 'quiet' }, 'This comes next, once there is data.'));
    const upload = h('details', { open: !datasets.length },
      h('summary', {}, datasets.length ? 'Upload another file' : 'Upload a file'), dataForm(datasets, limits, again));
    return [dataList(datasets, again), upload];
  });
}
