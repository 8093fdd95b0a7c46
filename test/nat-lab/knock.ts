/** Sends to an address over UDP and TCP, and says what comes back: `knock.ts ADDRESS`. */

import { pause } from './pause.ts';
import { report } from './report-line.ts';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { parseSocketAddress } from '../../src/base/ip.ts';
import { systemNetwork } from '../../src/net/system-network.ts';

const to = parseSocketAddress(process.argv[2]!)!;
const over = new AbortController();
const udp = new Promise<string | undefined>((resolve) => {
  void systemNetwork.bindUdp({ bind: { ip: to.ip.includes(':') ? '::' : '0.0.0.0', port: 0 } }).then((socket) => {
    socket.sink = { onDatagram: (payload) => resolve(decodeText(payload)) };
    over.signal.addEventListener('abort', () => resolve(undefined));
    socket.send(encodeText('over UDP'), to.ip, to.port);
  });
});
const tcp = new Promise<string | undefined>((resolve) => {
  over.signal.addEventListener('abort', () => resolve(undefined));
  systemNetwork.dial({ remote: to, signal: over.signal }).then(
    ({ pipe }) => {
      pipe.sink = {
        onData: (chunk) => resolve(decodeText(chunk)),
        onEnd: () => resolve(undefined),
        onClose: () => resolve(undefined),
      };
      pipe.write([encodeText('over TCP')], () => undefined);
      pipe.resume();
    },
    () => resolve(undefined),
  );
});
void pause(2000).then(() => over.abort(new Error('No answer')));
const [udpSaid, tcpSaid] = await Promise.all([udp, tcp]);
report({ udp: udpSaid, tcp: tcpSaid });
process.exit(0);
