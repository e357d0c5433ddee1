/**
 * Help with the number of clusters: what speaks for each, three of them side by side with names
 * and examples, and the one that is picked goes into the form.
 */
import { link } from './address.js';
import { events, get, path, post } from './api.js';
import { nameOf } from './cards.js';
import { evidence } from './choose_charts.js';
import { announce, button, count, failure, field, fill, h, number, percent } from './dom.js';

const LIVE = ['queued', 'running'];
const STAGES = {
  read: 'Reading the file', vectorise: 'Encoding the rows', reduce: 'Reducing them', cluster: 'Finding clusters once',
  choose: 'Comparing numbers of clusters', preview: 'Looking for examples',
};
const CLUSTERS = 8;
const FROM = 2;
const TO = 30;

/**
 * The part of the form that asks for help.
 *
 * @param {() => object} asked what the form asks for: data, revision and parameters
 * @param {(id: string) => void} started
 */
export function chooser(asked, started) {
  const ends = { from: FROM, to: TO };
  const inputs = Object.fromEntries(Object.entries(ends).map(([name, value]) =>
    [name, h('input', { type: 'number', 'aria-label': name === 'from' ? 'Fewest clusters' : 'Most clusters', value, min: 2, max: 1000, step: 1, inputmode: 'numeric' })]));
  const outcome = h('div', { 'aria-live': 'polite' });
  const begin = button('Compare them', async () => {
    begin.disabled = true;
    outcome.replaceChildren();
    try {
      const { dataset, revision, parameters: { n_clusters: _, ...rest } } = asked();
      const [from, to] = ['from', 'to'].map((name) => Number(inputs[name].value));
      const job = await post(path(['jobs']), { kind: 'choose-k', dataset, revision, parameters: { ...rest, from, to } });
      started(job.id);
    } catch (error) {
      outcome.replaceChildren(failure(error));
    } finally {
      begin.disabled = false;
    }
  });
  return h('details', { class: 'help' }, h('summary', {}, 'Help me choose'),
    h('p', { class: 'hint' }, 'Makes clusters in several numbers, a few minutes for large data, and shows what speaks for each, with examples of three.'),
    h('p', { class: 'actions' }, 'From', inputs.from, 'to', inputs.to, begin), outcome);
}

/** Follow a comparison to its end, then show it; `picked` is the number in the address. */
export function watchChoice(region, id, signal, { renew, take, goOn, picked }) {
  return fill(region, signal, async () => {
    const job = await get(path(['jobs', id]), signal);
    if (LIVE.includes(job.state)) await follow(region, job, signal, renew);
    return shown(await get(path(['jobs', id]), signal), signal, { take, goOn, picked });
  });
}

async function follow(region, job, signal, renew) {
  const title = h('h2', {}, `How many clusters of “${job.dataset}”?`);
  const line = h('p', { class: 'waiting' }, 'Waiting for its turn');
  const outcome = h('div', {});
  const cancel = button('Cancel', () => {
    cancel.disabled = true;
    post(path(['jobs', job.id, 'cancel'])).catch((error) => {
      cancel.disabled = false;
      outcome.replaceChildren(failure(error));
    });
  });
  region.replaceChildren(title, line, outcome, h('p', { class: 'actions' }, cancel, closing()));
  region.removeAttribute('aria-busy');
  let tried = 0;
  for await (const { event, data } of events(path(['jobs', job.id, 'events']), signal)) {
    if (event === 'stage' && STAGES[data.stage]) {
      line.textContent = STAGES[data.stage];
      announce(line.textContent);
    } else if (event === 'candidate') {
      tried += 1;
      line.textContent = `Making ${count(data.k, 'cluster')}: number ${tried} that is tried`;
    } else if (event === 'state' && data.queue_position) line.textContent = `Number ${data.queue_position} in the queue`;
  }
  renew();
}

const closing = () => link({ choice: null, k: null }, { class: 'button plain' }, 'Close');

function shown(job, signal, { take, goOn, picked }) {
  const title = h('h2', {}, `How many clusters of “${job.dataset}”?`);
  if (job.state !== 'succeeded') {
    const why = job.error?.detail ?? (job.state === 'cancelled' ? 'It was cancelled.' : 'The server stopped meanwhile. Start it again below.');
    return [title, h('p', { class: 'note bad' }, why), h('p', {}, closing())];
  }
  const { candidates, recommended, reason, previews } = job.result;
  const best = recommended.length ? `${recommended[0]} clusters stand out` : 'No number stands out';
  announce(best);
  if (picked) take(job, picked);
  return [
    title,
    h('p', { class: 'lead' }, best, recommended.length > 1 && `, then ${recommended.slice(1).join(' and ')}`, '.'),
    h('p', { class: 'quiet' }, `${reason[0].toUpperCase()}${reason.slice(1)}.`),
    evidence(candidates, recommended, signal),
    h('h3', {}, 'Side by side'),
    h('ol', { class: 'previews' }, previews.map((preview) => option(preview, candidates, picked, goOn))),
    h('details', {}, h('summary', {}, 'Another number'),
      h('p', { class: 'actions' }, candidates.map(({ k }) => link({ k }, { class: 'chip', 'aria-label': `Take ${k} clusters` }, k)))),
    picked && !previews.some(({ k }) => k === picked)
      && h('p', { class: 'note ways' }, `${count(picked, 'cluster')} stand in the form below.`, button('Go on', goOn)),
    h('p', { class: 'actions' }, closing()),
  ].filter(Boolean);
}

function option({ k, recommended, clusters, n_unclustered: outside }, candidates, picked, goOn) {
  const { silhouette, stability } = candidates.find((each) => each.k === k);
  const largest = clusters.toSorted((a, b) => b.size - a.size);
  const row = ({ name, size, share, typical }) => h('li', {},
    h('strong', { dir: 'auto' }, name),
    h('span', { class: 'share', style: `--share: ${size / largest[0].size}` }, `${count(size, 'item')}, ${percent(share)}`),
    typical.length > 0 && h('p', { class: 'hint', dir: 'auto' }, typical.map((item) => nameOf(item)).join(' · ')));
  const list = h('ul', {}, largest.slice(0, CLUSTERS).map(row));
  const more = largest.length > CLUSTERS && button(`and ${largest.length - CLUSTERS} more`, () => {
    list.append(...largest.slice(CLUSTERS).map(row));
    more.remove();
  }, { class: 'plain', 'aria-label': `Show ${largest.length - CLUSTERS} more of ${k} clusters` });
  const isPicked = picked === k;
  return h('li', { class: isPicked ? 'picked' : '' },
    h('h4', {}, count(k, 'cluster'), recommended && h('span', { class: 'badge' }, 'recommended')),
    h('p', { class: 'hint' }, `Silhouette ${number(silhouette)}, stability ${number(stability)}${outside ? `; ${count(outside, 'item')} in none` : ''}`),
    h('p', { class: 'actions' }, isPicked ? [h('strong', {}, '✓ In the form below'), button('Go on', goOn, { class: 'main' })]
      : link({ k }, { class: 'button' }, `Take ${count(k, 'cluster')}`)),
    list, more);
}
