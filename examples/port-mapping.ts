/**
 * A port on a router, in virtual time: the host asks its router for one, and a stranger reaches it. The router is a NAT with the smallest
 * server of NAT-PMP (RFC 6886). On a real network only the last part is needed: `openPortMapper()` asks the routers of the machine.
 */

import { createMemoryRealm } from 'shoal/memory';
import { openPortMapper } from 'shoal/nat';
import { createVirtualInternet } from 'shoal/testing';
import { openUdpSwarm } from 'shoal/udp';

const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
const net = createVirtualInternet({ realm, seed: 1 });
const nat = net.nat('port');
const host = net.host({ behind: nat });
const stranger = net.host();

// The router: it tells its address, and forwards what it is asked for.
const router = await nat.network.bindUdp({ bind: { ip: '192.168.1.1', port: 5351 } });
router.sink = {
  onDatagram(request, ip, port) {
    const [, opcode] = request;
    const epoch = [0, 0, 0, Math.floor(realm.nowMs() / 1000)];
    if (opcode === 0) {
      router.send(Uint8Array.of(0, 128, 0, 0, ...epoch, ...nat.ip.split('.').map(Number)), ip, port);
      return;
    }
    const ports = request.subarray(4, 8);
    const internalPort = new DataView(request.buffer, request.byteOffset).getUint16(4);
    if (request.subarray(8).some((byte) => byte !== 0)) {
      nat.forward(opcode === 1 ? 'udp' : 'tcp', internalPort, { ip, port: internalPort });
    }
    router.send(Uint8Array.of(0, 128 + opcode!, 0, 0, ...epoch, ...ports, ...request.subarray(8)), ip, port);
  },
};

const swarm = await openUdpSwarm({ bind: '0.0.0.0:5000', network: host.network, realm: host.realm });
swarm.listen(({ src, payload }) => console.log(`${payload.length} bytes from ${src.text}`));

const mapper = openPortMapper({ network: host.network, realm: host.realm });
const mapping = mapper.map({ protocol: 'udp', internalPort: 5000 });
await realm.clock.run(mapping.ready);
console.log(`Reachable at ${mapping.external?.ip}:${mapping.external?.port}, by ${mapping.via}`);

const other = await openUdpSwarm({ network: stranger.network, realm: stranger.realm });
await other.tell(`${mapping.external?.ip}:${mapping.external?.port}`, new Uint8Array(3));
await realm.clock.advance(100);

await realm.clock.run(Promise.all([mapper.close(), swarm.close(), other.close(), router.close()]));
