/** Every command and its options. */

import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import type { CommonOptions } from './context.ts';
import type { BenchOptions } from './commands/bench.ts';
import type { ChatOptions } from './commands/chat.ts';
import { type Shell, SHELLS, completionScript } from './commands/completion.ts';
import type { DemoCommandOptions } from './commands/demo.ts';
import type { KeygenOptions } from './commands/keys.ts';
import type { ListenOptions } from './commands/listen.ts';
import type { PingOptions } from './commands/ping.ts';
import type { SendOptions } from './commands/message.ts';
import type { DhtAction, DhtCommandOptions } from './commands/dht.ts';
import type { DiscoverOptions } from './commands/discover.ts';
import type { ExplainOptions, PeersTableOptions } from './commands/peers.ts';
import type { NatOptions } from './commands/nat.ts';
import type { PipeOptions } from './commands/pipe.ts';
import type { RelayOptions } from './commands/relay.ts';
import type { ReceiveOptions } from './commands/receive.ts';
import type { SendFileOptions } from './commands/send.ts';
import type { SimulateOptions } from './commands/simulate.ts';
import { UsageError } from './failure.ts';
import { common, examples, run, whole } from './program-parts.ts';
import { jsonSchema } from './schema.ts';
import { addServers } from './server-commands.ts';
import { standardOutput } from './standard-streams.ts';
import { LAYERS, PRESETS } from './stack/layers.ts';
import manifest from '../package.json' with { type: 'json' };

/** Encrypted, reliable and with asks, so that nothing has to be chosen at first. */
const DEFAULT_STACK = 'quic';

/** What `shoal dht` does. */
const DHT_ACTIONS: readonly DhtAction[] = ['join', 'put', 'get', 'announce', 'lookup', 'table'];

const POLICIES = ['any', 'direct', 'no_third_party', 'own_relays', 'relayed'];

/** A number option: above zero. */
function positive(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value <= 0) throw new InvalidArgumentError('Expected a number above 0.');
  return value;
}

/**
 * One PeerID in 64 begins with a dash, so that an address looks like an option. A space in front keeps the parser from
 * taking it for one; {@link address} takes it away again.
 */
export function shieldAddresses(args: readonly string[]): string[] {
  return args.map((arg) => (/^-[\w-]{42}(@|$)/.test(arg) ? ` ${arg}` : arg));
}

function address(text: string): string {
  return text.trim();
}

function withStack(command: Command, bindDefault: string): Command {
  return common(command)
    .option('--stack <LAYERS>', 'layers with commas between, the bottom one first', DEFAULT_STACK)
    .option('--bind <IP:PORT>', `where the socket binds to; port 0 is any (default: ${bindDefault})`)
    .option('--key <FILE>', 'private key from `shoal keygen`, for stacks with keys (default: a new one)')
    .addOption(
      new Option('--preset <NAME>', 'speak as this implementation does: quic with SHA3-256 PeerIDs, mbapp').choices(
        PRESETS,
      ),
    );
}

/** The options of commands that reach their peers by PeerID. */
function withNode(command: Command, lan?: boolean): Command {
  return common(command)
    .option('--network-name <NAME>', 'only nodes with this name connect (default: shoal)')
    .option('--key <FILE>', 'private key from `shoal keygen` (default: a new one)')
    .option('--bind <IP:PORT>', 'where to listen, with TCP and QUIC; port 0 is any (default: all addresses)')
    .option('--lan', 'find peers on the LAN', lan)
    .option('--lan-port <N>', 'the UDP port of LAN queries (default: 5483)', whole(1, 65_535))
    .option('--broadcast <IP>', 'the broadcast address to use: 127.255.255.255 is this machine');
}

/** The same for commands that know whom they want. */
function withKnownPeer(command: Command): Command {
  return withNode(command, true).option('--no-lan', 'use the addresses that are known, and nothing else');
}

/** The same for commands that take part in a network. */
function withNetwork(command: Command): Command {
  return withNode(command)
    .option('--contact <ADDR...>', 'peers to begin with: PeerID@host:port')
    .option('--cache <FILE>', 'remember peers that can be dialled in this file')
    .option('--tracker <TOKEN...>', 'announce this node at a tracker, and find others there: a URL with its secret')
    .option('--relay <ADDR...>', 'own relays, where this node is reached behind a NAT: PeerID@host:port')
    .addOption(new Option('--policy <NAME>', 'which paths may be used (default: any)').choices(POLICIES))
    .option('--observer <ADDR...>', 'STUN servers to ask for own addresses: IP:PORT (default: the peers)')
    .option('--proxy <URL>', 'an HTTP proxy for TCP (CONNECT): http://[USER:PASSWORD@]HOST:PORT')
    .option('--map-ports', 'ask the router to forward the ports: PCP, NAT-PMP, UPnP')
    .option('--config <FILE>', 'a JSON file with options, followed as it changes; options here come before it');
}

function withPayload(command: Command): Command {
  return withStack(command, 'any port')
    .argument('<ADDR>', 'address of the peer, as its `shoal listen` prints it', address)
    .argument('[-]', 'send what comes on standard input')
    .option('--data <TEXT>', 'send this text')
    .option('--file <FILE>', 'send the contents of this file; - is standard input')
    .option('--timeout <MS>', 'give up after so many milliseconds', whole(1, 86_400_000), 10_000);
}

/** `-` as an argument is the same as `--file -`. */
function sendOptions(dash: string | undefined, options: SendOptions): SendOptions {
  if (dash === undefined) return options;
  if (dash !== '-') throw new UsageError(`Unexpected argument '${dash}': text to send goes behind --data`);
  return { ...options, file: options.file ?? '-' };
}

function layerHelp(): string {
  const lines = LAYERS.map(({ form, summary }) => `  ${form.padEnd(12)} ${summary}`);
  return `\nLayers of --stack:\n${lines.join('\n')}\n`;
}

/** The whole command line. */
export function createProgram(): Command {
  const program = new Command('shoal')
    .description('Message-based peer-to-peer networking: peers that talk to each other, from the terminal.')
    .version(manifest.version)
    .helpCommand(true)
    .showSuggestionAfterError(true)
    .addHelpText(
      'after',
      examples(
        'keygen --out alice.pem',
        'listen --stack udp,p2pke,mbapp --echo',
        "ask --stack udp,p2pke,mbapp '<PeerID>@127.0.0.1:5000' --data hello",
        'demo',
      ),
    );

  common(program.command('keygen'))
    .description('Make an Ed25519 key, as PEM PKCS#8.')
    .option('--out <FILE>', 'write it to a file that only you can read, and print its PeerID')
    .option('--force', 'replace the file if it exists')
    .addHelpText('after', examples('keygen --out alice.pem', 'keygen --json'))
    .action((options: KeygenOptions) =>
      run(options, async (context) => (await import('./commands/keys.ts')).keygen(context, options)),
    );

  common(program.command('id'))
    .description('Show the PeerID of a key file, in every fingerprint.')
    .argument('<FILE>', 'private key in PEM')
    .addHelpText('after', examples('id alice.pem'))
    .action((file: string, options: CommonOptions) =>
      run(options, async (context) => (await import('./commands/keys.ts')).identify(context, file)),
    );

  withStack(program.command('listen'), '127.0.0.1:0')
    .description('Open a stack and show every message that comes, until Ctrl-C.')
    .option('--echo', 'tell each message back to where it came from, and answer asks with what they brought')
    .option('--quiet', 'do not show the messages')
    .addHelpText(
      'after',
      layerHelp() +
        examples(
          'listen --stack udp --bind 0.0.0.0:5000',
          'listen --stack udp,p2pke,mbapp --echo --json',
          'listen --key alice.pem',
        ),
    )
    .action((options: ListenOptions) =>
      run(options, async (context) => (await import('./commands/listen.ts')).listen(context, options)),
    );

  withPayload(program.command('tell'))
    .description('Send one message.')
    .addHelpText(
      'after',
      layerHelp() +
        examples('tell --stack udp 127.0.0.1:5000 --data hello', 'tell --stack udp,frag 127.0.0.1:5000 - < photo.jpg'),
    )
    .action((addr: string, dash: string | undefined, options: SendOptions) =>
      run(options, async (context) =>
        (await import('./commands/message.ts')).tell(context, addr, sendOptions(dash, options)),
      ),
    );

  withPayload(program.command('ask'))
    .description('Send one request and print its answer.')
    .addHelpText(
      'after',
      layerHelp() + examples('ask --stack udp,p2pke,mbapp 127.0.0.1:5000 --data "what time is it?"'),
    )
    .action((addr: string, dash: string | undefined, options: SendOptions) =>
      run(options, async (context) =>
        (await import('./commands/message.ts')).ask(context, addr, sendOptions(dash, options)),
      ),
    );

  withStack(program.command('ping'), 'any port')
    .description('Measure round trips to a peer that runs `shoal listen --echo`.')
    .argument('<ADDR>', 'address of the peer', address)
    .option('--count <N>', 'how many', whole(1, 1_000_000), 5)
    .option('--interval <MS>', 'milliseconds between two', whole(0, 3_600_000), 200)
    .option('--timeout <MS>', 'milliseconds to wait for each answer', whole(1, 86_400_000), 1000)
    .addHelpText('after', layerHelp() + examples('ping --stack udp 127.0.0.1:5000 --count 100 --interval 0'))
    .action((addr: string, options: PingOptions) =>
      run(options, async (context) => (await import('./commands/ping.ts')).ping(context, addr, options)),
    );

  withStack(program.command('bench'), '127.0.0.1:0')
    .description(
      'Measure how fast a stack is: between two processes, or to a peer that runs `shoal listen --echo --quiet`.',
    )
    .argument('[ADDR]', 'address of the peer (default: a process that is started for it)', address)
    .option('--bytes <N>', 'bytes of each message', whole(0, 1 << 24), 64)
    .option('--seconds <N>', 'how long each of the two measurements takes', whole(1, 3600), 3)
    .option('--in-flight <N>', 'messages under way at a time, for the throughput', whole(1, 4096), 64)
    .addHelpText('after', layerHelp() + examples('bench', 'bench --stack udp,p2pke,mbapp --bytes 1000'))
    .action((addr: string | undefined, options: BenchOptions) =>
      run(options, async (context) => (await import('./commands/bench.ts')).bench(context, addr, options)),
    );

  withKnownPeer(program.command('send'))
    .description('Offer a file or a folder, and print the ticket with which others receive it, until Ctrl-C.')
    .argument('<FILE>', 'file or folder')
    .option('--once', 'end when somebody has received everything')
    .addHelpText('after', examples('send photos', 'send --once report.pdf', 'send --key alice.pem photos'))
    .action((file: string, options: SendFileOptions) =>
      run(options, async (context) => (await import('./commands/send.ts')).send(context, file, options)),
    );

  withKnownPeer(program.command('receive'))
    .description('Receive what a ticket promises, checked by hash; goes on where it was interrupted.')
    .argument('<TICKET>', 'the line that `shoal send` prints')
    .option('--out <DIR>', 'folder to write to, made if it is not there (default: the current one)')
    .option('--force', 'replace what has the same name')
    .option('--yes', 'without --out: do not ask before a hidden name is written or a folder replaced')
    .option('--timeout <MS>', 'give up when nothing comes for so long', whole(1, 86_400_000), 30_000)
    .addHelpText('after', examples('receive shoal1.AbCd…', 'receive shoal1.AbCd… --out downloads'))
    .action((ticket: string, options: ReceiveOptions) =>
      run(options, async (context) => (await import('./commands/receive.ts')).receive(context, ticket, options)),
    );

  withKnownPeer(program.command('pipe'))
    .description('Join standard input and output of two machines, or TCP ports in either direction, until Ctrl-C.')
    .argument('[ADDR]', 'the address that the other `shoal pipe` prints (default: wait for one)', address)
    .option('--listen-tcp <[IP:]PORT>', 'carry connections to this TCP port to the other side')
    .option('--connect-tcp <[IP:]PORT>', 'carry what comes from the other side to this TCP port')
    .addHelpText(
      'after',
      examples(
        'pipe > backup.tar          # here',
        'pipe ADDR < backup.tar     # there',
        'pipe --connect-tcp 127.0.0.1:22        # a port of this machine for the other one',
        'pipe ADDR --listen-tcp 127.0.0.1:2222  # … which reaches it here',
      ),
    )
    .action((addr: string | undefined, options: PipeOptions) =>
      run(options, async (context) => (await import('./commands/pipe.ts')).pipe(context, addr, options)),
    );

  withKnownPeer(program.command('chat'))
    .description('Talk in a room of named peers: lines from standard input go to everybody, until Ctrl-C.')
    .option('--name <NAME>', 'what others see', process.env['USER'] ?? process.env['USERNAME'] ?? 'somebody')
    .option('--join <ADDR>', 'enter the room of this peer (default: open one)', address)
    .addHelpText('after', examples('chat --name alice', "chat --name bob --join '<PeerID>@192.168.1.5:5000'"))
    .action((options: ChatOptions) =>
      run(options, async (context) => (await import('./commands/chat.ts')).chat(context, options)),
    );

  common(program.command('nat'))
    .description(
      'Show under which addresses others see this host, what its NATs let through, and what its routers map.',
    )
    .argument('[OBSERVER...]', 'STUN servers or peers that serve as such, IP:PORT; nobody else is asked')
    .option('--no-tcp', 'do not ask over TCP')
    .option('--timeout <MS>', 'milliseconds for each question', whole(1, 60_000), 3000)
    .option('--map', 'ask the routers of this host (PCP, NAT-PMP, UPnP), and map UDP port 54321 until the end')
    .option('--gateway <IP...>', 'with --map: ask these routers (default: those of this host)')
    .addOption(
      new Option('--protocol <NAME...>', 'with --map: use these (default: all)').choices(['pcp', 'nat-pmp', 'upnp']),
    )
    .option('--serve', 'answer the questions of others instead, until Ctrl-C')
    .option('--bind <IP:PORT>', 'with --serve: where to listen (default: 0.0.0.0:3478)')
    .option('--other-bind <IP:PORT>', 'with --serve: another IP and port, so that others learn how they are filtered')
    .addHelpText(
      'after',
      examples(
        'nat 192.0.2.1:3478 198.51.100.7:3478',
        'nat --map',
        'nat --serve --bind 192.0.2.1:3478 --other-bind 192.0.2.2:3479',
      ),
    )
    .action((observers: readonly string[], options: NatOptions) =>
      run(options, async (context) => (await import('./commands/nat.ts')).nat(context, observers, options)),
    );

  common(program.command('discover'))
    .description('Show the nodes of a network on the LANs of this host, as they answer. Announces nobody.')
    .option('--network-name <NAME>', 'the name that the nodes share', 'shoal')
    .option('--seconds <N>', 'how long to listen', whole(1, 86_400), 3)
    .option('--port <N>', 'the UDP port of queries', whole(1, 65_535), 5483)
    .option('--broadcast <IP>', 'use this broadcast address: 127.255.255.255 is this machine (default: all interfaces)')
    .option('--interface <NAME...>', 'use these interfaces (default: all)')
    .addHelpText('after', examples('discover --network-name my-app', 'discover --seconds 10 --json'))
    .action((options: DiscoverOptions) =>
      run(options, async (context) => (await import('./commands/discover.ts')).discover(context, options)),
    );

  withNetwork(program.command('peers'))
    .description('Take part in a network, and show its peers: path, round trip, since when, messages. Until Ctrl-C.')
    .option('--maintain <PEERID...>', 'keep connections with these peers')
    .addHelpText(
      'after',
      examples(
        'peers --lan',
        "peers --network-name my-app --contact '<PeerID>@example.org:5000'",
        'peers --config node.json',
      ),
    )
    .action((options: PeersTableOptions) =>
      run(options, async (context) => (await import('./commands/peers.ts')).peers(context, options)),
    );

  withNetwork(program.command('dht'))
    .description('Take part in the DHT of a network, or ask it: values, where peers are, who provides a key.')
    .addArgument(new Argument('<ACTION>', 'what to do').choices(DHT_ACTIONS))
    .argument('[ARGS...]', 'KEY VALUE of put, KEY of get, KEYs of announce, PEERID of lookup')
    .option('--provided', 'lookup: the argument is a key; shows the peers that provide it')
    .option('--ttl <MS>', 'how long what is stored lives', whole(1000, 86_400_000), 7_200_000)
    .option('--timeout <MS>', 'give up after so many milliseconds', whole(1, 86_400_000), 30_000)
    .addHelpText(
      'after',
      examples(
        'dht join',
        "dht put color blue --contact '<PeerID>@192.0.2.1:5000'",
        "dht lookup '<PeerID>' --contact '<PeerID>@192.0.2.1:5000'",
      ),
    )
    .action((action: DhtAction, args: readonly string[], options: DhtCommandOptions) =>
      run(options, async (context) => (await import('./commands/dht.ts')).dht(context, action, args, options)),
    );

  withNetwork(program.command('explain'))
    .description('Connect to a peer, and tell which addresses were tried, what came of it, and what would help.')
    .argument('<PEERID>', 'the peer', address)
    .option('--timeout <MS>', 'give up after so many milliseconds', whole(1, 86_400_000), 15_000)
    .addHelpText(
      'after',
      examples("explain '<PeerID>' --lan", "explain '<PeerID>' --contact '<PeerID>@192.0.2.1:5000'"),
    )
    .action((peer: string, options: ExplainOptions) =>
      run(options, async (context) => (await import('./commands/peers.ts')).explain(context, peer, options)),
    );

  withNetwork(program.command('relay'))
    .description('Relay for peers that cannot reach each other: what they say is sealed between them. Until Ctrl-C.')
    .option('--max-peers <N>', 'how many may have a place', whole(1, 1_048_576), 128)
    .option('--bytes-per-second <N>', 'what each may send', whole(1300, 2 ** 40), 1_048_576)
    .option('--total-bytes-per-second <N>', 'what all may send', whole(1300, 2 ** 40), 8_388_608)
    .option('--minutes <N>', 'the longest reservation; it is renewed before', whole(1, 65_535), 60)
    .option('--allow <PEERID...>', 'relay for these peers only')
    .addHelpText('after', examples('relay --bind 0.0.0.0:443 --key relay.pem', "relay --allow '<PeerID>' '<PeerID>'"))
    .action((options: RelayOptions) =>
      run(options, async (context) => (await import('./commands/relay.ts')).relay(context, options)),
    );

  common(program.command('simulate'))
    .description(
      'Run a network of own nodes in virtual time: a module that exports the options of simulate() as default.',
    )
    .argument('<FILE>', 'JavaScript, or TypeScript where Node runs it (24 and newer)')
    .option('--seed <SEED>', 'a number or a text; the same seed gives the same run')
    .option('--nodes <N>', 'how many nodes, instead of what the module says', whole(1, 1_000_000))
    .option('--duration <SECONDS>', 'virtual seconds, instead of what the module says', positive)
    .option('--until-failure', 'try seeds until one fails, and look for the least nodes and time that still fail')
    .option('--seeds <N>', 'with --until-failure: how many seeds', whole(1, 1_000_000_000), 100)
    .option('--no-shrink', 'with --until-failure: leave the failing run as it is')
    .option('--twice', 'run twice and compare: what comes from outside of the seed shows as a difference')
    .option('--trace <FILE>', 'write every event to this file, one JSON object a line')
    .option('--svg <METRIC=FILE...>', 'draw a metric: a counter, COUNTER/s, or a distribution')
    .addHelpText(
      'after',
      examples(
        'simulate chat.ts --seed 7',
        'simulate chat.ts --until-failure',
        'simulate chat.ts --svg messages/s=load.svg',
      ),
    )
    .action((file: string, options: SimulateOptions) =>
      run(options, async (context) => (await import('./commands/simulate.ts')).runSimulation(context, file, options)),
    );

  addServers(program);

  common(program.command('demo'))
    .description('Run a network of peers on this machine: each a process with a key and sockets of its own.')
    .option('--peers <N>', 'how many', whole(3, 12), 6)
    .option('--seconds <N>', 'how long they talk', whole(1, 86_400), 6)
    .option('--keep', 'run on until Ctrl-C')
    .option('--join <ADDR>', 'take part in a demo that runs in another terminal')
    .addHelpText('after', examples('demo', 'demo --keep', "demo --join '127.255.255.255:5000'"))
    .action((options: DemoCommandOptions) =>
      run(options, async (context) => (await import('./commands/demo.ts')).demo(context, options)),
    );

  program
    .command('schema')
    .description('Print the JSON Schema of what --json shows; docs/cli.md explains it.')
    .action(() => standardOutput.write(`${JSON.stringify(jsonSchema(), undefined, 2)}\n`));

  program
    .command('completion')
    .description('Print a script that completes commands, options and layers in a shell.')
    .addArgument(new Argument('<SHELL>', 'which shell').choices(SHELLS))
    .addHelpText('after', examples('completion bash > ~/.local/share/bash-completion/completions/shoal'))
    .action((shell: Shell) => standardOutput.write(completionScript(program, shell)));

  return program;
}
