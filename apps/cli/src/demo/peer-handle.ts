/** One peer process as the coordinator sees it. */

import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';
import type { PeerId } from 'shoal';
import type { Fetched } from './blob.ts';
import type { News, Order, PeerReport, StartOrder } from './reports.ts';

const PROGRAM = path.join(import.meta.dirname, 'peer-process.ts');

/** What a peer process is doing. */
export type PeerState = 'starting' | 'up' | 'killed' | 'ended';

export class PeerHandle {
  readonly name: string;
  /** What it is behind: `simulated NAT`; empty when it is behind nothing. */
  readonly nat: string;
  state: PeerState = 'starting';
  id: PeerId | undefined;
  addrs: readonly string[] = [];
  /** Names of the peers that are alive in its view. */
  readonly known: Set<string> = new Set();
  report: PeerReport | undefined;
  /** The last fetch of this peer. */
  fetched: Fetched | undefined;
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  #stopping = false;

  /** @param onNews - called after the news have been taken in here; a process that ends without having been told to has failed. */
  constructor(start: StartOrder, onNews: (peer: PeerHandle, news: News) => void) {
    this.name = start.name;
    this.nat = start.nat === undefined ? '' : 'simulated NAT';
    // Its own group would survive a killed terminal; the channel of `fork` ends it with the coordinator.
    this.#process = fork(PROGRAM, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#exited = promise;
    const take = (news: News): void => {
      this.#take(news);
      onNews(this, news);
    };
    this.#process.on('message', take);
    this.#process.on('exit', (code, signal) => {
      const wasTold = this.#stopping || this.state === 'killed';
      if (this.state !== 'killed') this.state = 'ended';
      if (!wasTold) take({ type: 'failed', message: `it ended by itself: ${signal ?? `exit code ${code}`}` });
      resolve();
    });
    this.#process.on('error', ({ message }) => {
      take({ type: 'failed', message });
      if (this.#process.pid === undefined) resolve(); // it never ran
    });
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
    this.#stopping = true;
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
