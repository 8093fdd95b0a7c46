/**
 * Maps a port of UDP and one of TCP, and echoes what arrives: `map.ts PROTOCOL FAMILY PORT LIFETIME_MS`. Says when there is a verdict, at each
 * change, and when it has closed, which a SIGTERM has it do; with the time since it began to map, or to close.
 */

import { pause } from './pause.ts';
import { report } from './report-line.ts';
import { openPortMapper, type PortMapping } from '../../src/nat/index.ts';
import { systemNetwork } from '../../src/net/system-network.ts';
import type { MappingProtocol } from '../../src/protocols/port-mapping/types.ts';

const [via, family, port, lifetimeMs] = process.argv.slice(2);
const bind = { ip: family === '6' ? '::' : '0.0.0.0', port: Number(port) };
const udp = await systemNetwork.bindUdp({ bind });
udp.sink = { onDatagram: (payload, ip, from) => udp.send(payload, ip, from) };
const tcp = await systemNetwork.listen({
  bind,
  backlog: 8,
  reusePort: false,
  onConnection: ({ pipe }) => {
    pipe.sink = {
      onData: (chunk) => pipe.write([chunk], () => undefined),
      onEnd: () => pipe.end(),
      onClose: () => undefined,
    };
    pipe.resume();
  },
  onError: () => undefined,
});

let begun = performance.now();
const mapper = openPortMapper({ protocols: [via as MappingProtocol] });
const mappings = (['udp', 'tcp'] as const).map((protocol) =>
  mapper.map({ protocol, family: family === '6' ? 6 : 4, internalPort: bind.port, lifetimeMs: Number(lifetimeMs) }),
);
const say = (event: string): void => {
  const shown = mappings.map(({ external, via: by, reason, doubleNat }) => ({ external, via: by, reason, doubleNat }));
  report({ event, ms: Math.round(performance.now() - begun), mappings: shown, gateways: mapper.report.gateways });
};
await Promise.all(mappings.map(({ ready }) => ready));
// On a busy machine a router may answer later than the first verdict.
await Promise.race([pause(2000), Promise.all(mappings.map(mapped))]);
say('verdict');
for (const mapping of mappings) mapping.onChange(() => say('changed'));

function mapped(mapping: PortMapping): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (mapping.external !== undefined) resolve();
    };
    mapping.onChange(look);
    look();
  });
}
process.once('SIGTERM', () => {
  begun = performance.now();
  void mapper.close().then(async () => {
    say('closed');
    await Promise.all([udp.close(), tcp.close()]);
    process.exit(0);
  });
});
