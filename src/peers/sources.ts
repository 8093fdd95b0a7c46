/** The sources that `openPeers` opens for the program: cache, LAN, trackers and contacts; and the start from them. */

import { type Candidate, type CandidateFault, candidateFaultOf, type CandidateSource } from '../core/candidate.ts';
import type { PeerId } from '../core/peer-id.ts';
import { bootstrap, type BootstrapFrom, type BootstrapRun } from '../discovery/bootstrap.ts';
import { contacts } from '../discovery/contacts.ts';
import { openLan } from '../discovery/lan.ts';
import { openPeerCache } from '../discovery/peer-cache.ts';
import type { AttemptOutcome } from '../protocols/bootstrap/bootstrap.ts';
import type { PeersOptions, ResolvedOptions } from './options.ts';
import { openTrackers } from './trackers.ts';

/** An open source, in the order of preference. */
export interface OpenSource extends BootstrapFrom {
  readonly close?: (() => Promise<void>) | undefined;
}

/** What sources need to know of the node, which is not open yet. */
export interface SourcesContext {
  readonly ownAddrs: () => readonly string[];
  /** A source has a fault that the program should know. */
  readonly fault: (source: string, text: string, cause?: unknown) => void;
}

/** Opens the sources of the options. @throws (by rejection) what opening a source throws; those that are open are closed then */
export async function openSources(
  options: PeersOptions,
  resolved: ResolvedOptions,
  { ownAddrs, fault }: SourcesContext,
): Promise<readonly OpenSource[]> {
  const { realm, network, networkName, id, privateKey } = resolved;
  const opened: OpenSource[] = [];
  try {
    if (options.cache !== undefined) {
      const place = typeof options.cache === 'string' ? { path: options.cache } : options.cache;
      const onFault = ({ text, cause }: { readonly text: string; readonly cause?: unknown }): void =>
        fault('cache', text, cause);
      const cache = await openPeerCache({ ...place, networkName, realm, onFault });
      opened.push({ name: 'cache', source: cache, close: async () => cache[Symbol.asyncDispose]() });
    }
    if (options.lan !== undefined && options.lan !== false) {
      const more = options.lan === true ? {} : options.lan;
      const lan = await openLan({ ...more, privateKey, networkName, addrs: ownAddrs, realm, network });
      opened.push({
        name: 'lan',
        source: lan,
        timeoutMs: LAN_TIMEOUT_MS,
        close: async () => lan[Symbol.asyncDispose](),
      });
    }
    opened.push(...openTrackers(options.tracker, { id, realm, isClient: resolved.kind === 'client', ownAddrs, fault }));
    for (const [i, source] of resolved.sources.entries()) opened.push({ name: `source ${i + 1}`, source });
    if (options.contacts !== undefined) {
      const onSkipped = ({ text }: { readonly text: string }): void => fault('contacts', text);
      const { fallbackAfterMs, resolve } = options;
      const source = contacts(options.contacts, { self: id, ownAddrs, realm, fallbackAfterMs, resolve, onSkipped });
      opened.push({ name: 'contacts', source });
    }
  } catch (error) {
    await closeSources(opened);
    throw error;
  }
  return opened;
}

/** Closes what was opened here. Never rejects. */
export async function closeSources(opened: readonly OpenSource[]): Promise<void> {
  await Promise.allSettled(opened.flatMap(({ close }) => (close === undefined ? [] : [close()])));
}

/** What the start needs from the connection manager. */
export interface StartHooks {
  readonly ownAddrs: () => readonly string[];
  add(candidate: Candidate): void;
  /** Connects to a peer as somebody to begin with. */
  connect(id: PeerId, signal: AbortSignal): Promise<void>;
  /** Why the last attempts at a peer failed. */
  faultOf(id: PeerId): { readonly fault: CandidateFault; readonly detail: string } | undefined;
}

/** How long the start waits for a LAN: queries leave at 0, 0.5 and 1.5 s. */
const LAN_TIMEOUT_MS = 2000;
/** The first pause before a start that found too few peers is repeated; the network may not have been there. */
const RETRY_AFTER_MS = 5000;

/** Begins from the sources: dials one after the other until there are `minPeers`, again and again when there are fewer. */
export function start(
  options: PeersOptions,
  resolved: ResolvedOptions,
  sources: readonly OpenSource[],
  hooks: StartHooks,
): BootstrapRun {
  const { id: self, realm } = resolved;
  const attempt = async (
    candidate: Candidate,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<AttemptOutcome> => {
    const { id } = candidate;
    if (id === undefined) return { fault: 'unreachable', detail: 'the candidate names no PeerID' };
    try {
      hooks.add(candidate);
      await hooks.connect(id, signal);
      return { peer: id };
    } catch (error) {
      const told = hooks.faultOf(id);
      if (told !== undefined) return told;
      return { fault: candidateFaultOf(error), detail: error instanceof Error ? error.message : undefined };
    }
  };
  const { minPeers, blacklist } = options;
  const from = sources.map(({ name, source, timeoutMs }): BootstrapFrom => ({ name, source, timeoutMs }));
  const { ownAddrs } = hooks;
  const retryAfterMs = RETRY_AFTER_MS;
  return bootstrap({ sources: from, attempt, self, ownAddrs, minPeers, blacklist, realm, retryAfterMs });
}

/** All sources as those that are asked for a peer. */
export function sourcesOf(opened: readonly OpenSource[]): readonly CandidateSource[] {
  return opened.map(({ source }) => source);
}
