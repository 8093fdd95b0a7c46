/** One peer process as the coordinator sees it. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { type PeerId } from 'shoal';
import { Failure } from '../failure.ts';
import { type Fetched } from './blob.ts';
import { type News, type Order, type PeerReport, type StartOrder } from './reports.ts';

const PROGRAM = path.join(import.meta.dirname, 'peer-process.ts');

/** What a peer process is doing. */
export type PeerState = 'starting' | 'up' | 'killed' | 'ended';

export class PeerHandle {
  readonly name: string;
  state: PeerState = 'starting';
  id: PeerId | undefined;
  addrs: readonly string[] = [];
  /** Names of the peers that are alive in its view. */
  readonly known: Set<string> = new Set();
  report: PeerReport | undefined;
  /** The last fetch of this peer. */
  fetched: Fetched | undefined;
  /** Resolves when it listens. */
  readonly ready: Promise<void>;
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;

  /** @param onNews - called after the news have been taken in here. */
  constructor(start: StartOrder, onNews: (peer: PeerHandle, news: News) => void) {
    this.name = start.name;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = promise;
    // Its own group would survive a killed terminal; the channel of `fork` ends it with the coordinator.
    this.#process = fork(PROGRAM, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#exited = once(this.#process, 'exit');
    this.#process.on('message', (news: News) => {
      this.#take(news);
      if (news.type === 'ready') resolve();
      if (news.type === 'failed') reject(new Failure(`Peer ${this.name} failed: ${news.message}`));
      onNews(this, news);
    });
    this.#process.on('exit', (code, signal) => {
      if (this.state !== 'killed') this.state = 'ended';
      reject(new Failure(`Peer ${this.name} ended by itself: ${signal ?? `exit code ${code}`}`));
    });
    this.#process.on('error', reject);
    promise.catch(() => undefined); // whoever waits sees it
    this.order(start);
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  order(order: Order): void {
    if (this.#process.connected) this.#process.send(order, () => undefined);
  }

  /** kill -9: it has no time for anything. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.state = 'killed';
    this.#process.kill('SIGKILL');
    await this.#exited;
  }

  /** Has it end in order, and waits for its last report; kills it when it does not. */
  async stop(graceMs: number): Promise<void> {
    if (this.state === 'killed' || this.#process.exitCode !== null) return;
    this.order({ type: 'stop' });
    const hard = setTimeout(() => this.#process.kill('SIGKILL'), graceMs);
    await this.#exited;
    clearTimeout(hard);
  }

  #take(news: News): void {
    if (news.type === 'ready') {
      this.state = 'up';
      this.id = news.id;
      this.addrs = news.addrs;
    } else if (news.type === 'found') this.known.add(news.name);
    else if (news.type === 'lost') this.known.delete(news.name);
    else if (news.type === 'report') this.report = news.report;
    else if (news.type === 'fetched') this.fetched = news.fetched;
  }
}
