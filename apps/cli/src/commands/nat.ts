/** `shoal nat`: what observers see of this host, and what that means; what its routers map; or an observer for others. */

import { once } from 'node:events';
import { natReport, openObserver, type PathReport } from 'shoal/nat';
import type { CommandContext, CommonOptions } from '../context.ts';
import { Failure, UsageError, asUsage } from '../failure.ts';
import { type MapOptions, showMapping } from './nat-map.ts';

/** Options of `shoal nat`. */
export interface NatOptions extends CommonOptions, MapOptions {
  readonly tcp: boolean;
  /** Milliseconds for each question. */
  readonly timeout: number;
  readonly serve?: boolean | undefined;
  readonly map?: boolean | undefined;
  readonly bind?: string | undefined;
  readonly otherBind?: string | undefined;
}

/** Asks the observers and shows the report, with `--map` also the routers; with `--serve` answers others until Ctrl-C. */
export async function nat(context: CommandContext, observers: readonly string[], options: NatOptions): Promise<void> {
  if (options.serve === true) {
    if (observers.length > 0) throw new UsageError('--serve answers others; it takes no observers');
    if (options.map === true) throw new UsageError('--serve answers others; it asks no routers');
    await serve(context, options);
    return;
  }
  if (options.bind !== undefined || options.otherBind !== undefined) {
    throw new UsageError('--bind and --other-bind are options of --serve');
  }
  if (options.map !== true && (options.gateway !== undefined || options.protocol !== undefined)) {
    throw new UsageError('--gateway and --protocol are options of --map');
  }
  const { output, interrupt } = context;
  const { signal } = interrupt;
  const { tcp, timeout } = options;
  const report = await asUsage('Cannot use observer', () =>
    natReport({ observers, tcp, timeoutMs: timeout, signal, realm: context.realm }),
  );
  const interfaces = report.interfaces.map(({ name, ip, prefixLength }) => ({ name, ip, prefixLength }));
  for (const path of report.paths) output.show({ event: 'nat_path', ...path }, pathLines(path));
  output.show({ event: 'nat', interfaces, summary: report.summary }, [
    `Addresses of this host: ${interfaces.map(({ name, ip }) => `${ip} (${name})`).join(', ') || 'none'}`,
    ...report.summary,
  ]);
  const isReached = report.paths.some((path) => path.address !== undefined);
  if (report.paths.length > 0 && !isReached) throw new Failure('No observer answered');
  const observed = report.paths.find(({ family, address }) => family === 4 && address !== undefined)?.address?.ip;
  if (options.map === true) await showMapping(context, options, observed);
}

function pathLines({ transport, family, observers }: PathReport): readonly string[] {
  const name = `IPv${family} ${transport.toUpperCase()}`;
  return observers.map(({ observer, mapped, rttMs, failed }) =>
    mapped === undefined
      ? `${name}: ${observer} did not answer (${failed})`
      : `${name}: ${observer} sees ${mapped} (${Math.round(rttMs ?? 0)} ms)`,
  );
}

async function serve({ output, interrupt, realm }: CommandContext, options: NatOptions): Promise<void> {
  const { bind = '0.0.0.0:3478', otherBind, tcp } = options;
  await using observer = await asUsage('Cannot serve', () => openObserver({ bind, otherBind, tcp, realm }));
  const { addresses } = observer;
  output.show({ event: 'observing', addrs: addresses }, `Answers observers' questions on ${addresses.join(', ')}`);
  if (!interrupt.signal.aborted) await once(interrupt.signal, 'abort');
  const { received, sent } = observer.counters;
  output.show({ event: 'closed', received, answered: sent }, `${received} questions, ${sent} answers`);
}
