/** The commands that serve others: `shoal tracker`, `shoal infra`. */

import { type Command, Option } from 'commander';
import type { InfraOptions } from './commands/infra.ts';
import type { TrackerCommandOptions } from './commands/tracker.ts';
import { common, examples, run, whole } from './program-parts.ts';

/** Adds them to the command line. */
export function addServers(program: Command): void {
  common(program.command('tracker'))
    .description(
      'Serve the cells in which peers announce themselves and look each other up, over HTTP or HTTPS. Until Ctrl-C.',
    )
    .option('--bind <IP:PORT>', 'where to listen; port 0 is any (default: any port of all addresses)')
    .option(
      '--store <PLACE>',
      'memory, file:FOLDER, sqlite:PATH, redis://HOST:PORT or nats://HOST:PORT[/BUCKET]',
      'memory',
    )
    .option('--tls-cert <FILE>', 'certificate chain in PEM, for HTTPS')
    .option('--tls-key <FILE>', 'its private key in PEM')
    .option('--trust-proxy', 'a proxy on this machine says in X-Forwarded-For who asks')
    .addOption(
      new Option('--metrics <WHO>', 'who may read /metrics').choices(['off', 'loopback', 'public']).default('loopback'),
    )
    .option('--max-cells <N>', 'networks at a time (default: 65536)', whole(1, 16_777_216))
    .option('--max-cell-bytes <N>', 'the longest cell (default: 32768)', whole(1024, 16_777_216))
    .option('--cell-ttl <SECONDS>', 'a cell that nobody writes is forgotten (default: 300)', whole(1, 86_400_000))
    .option('--requests-per-second <N>', 'of one /24 or /64 (default: 50)', whole(1, 1_000_000))
    .option('--cells-per-minute <N>', 'that one /24 or /64 may begin (default: 120)', whole(1, 1_000_000))
    .option('--token', 'also print the token of a new network')
    .option(
      '--url <URL>',
      'with --token: where others reach it (default: where it listens, and this machine for all addresses)',
    )
    .option('--shards <N>', 'with --token: cells of that network, about one for every fifty peers', whole(1, 4096), 1)
    .addHelpText(
      'after',
      examples(
        'tracker --bind 0.0.0.0:8080 --store sqlite:tracker.db --token --url http://tracker.example.org:8080',
        'tracker --bind 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem --store redis://127.0.0.1:6379',
      ),
    )
    .action((options: TrackerCommandOptions) =>
      run(options, async (context) => (await import('./commands/tracker.ts')).tracker(context, options)),
    );

  common(program.command('infra'))
    .description(
      'Serve an application on one port: a peer to begin with, an observer, a relay and a tracker. Prints what its peers need to know. Until Ctrl-C.',
    )
    .option('--config <FILE>', 'a JSON file with options; those here come before it')
    .option('--data <DIR>', 'the folder with the key and all that has to last')
    .option('--bind <IP:PORT>', 'the TCP and the UDP port (default: 0.0.0.0:4433)')
    .option('--host <NAME>', 'a name or IP under which others reach this machine (default: its address)')
    .option('--network-name <NAME>', 'only nodes with this name connect (default: shoal)')
    .addHelpText(
      'after',
      examples('infra --data /var/lib/shoal --host infra.example.org', 'infra --config /etc/shoal/infra.json'),
    )
    .action((options: InfraOptions) =>
      run(options, async (context) => (await import('./commands/infra.ts')).infra(context, options)),
    );
}
