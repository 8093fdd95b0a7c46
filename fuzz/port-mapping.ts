/** What routers, and who plays one, can send to a port mapper. */

import { type Bytes, concatBytes, encodeText, fromHex } from '../src/base/bytes.ts';
import { HttpResponseReader, parseHttpUrl } from '../src/protocols/port-mapping/http.ts';
import { decodeIgdDescription, textOf } from '../src/protocols/port-mapping/igd.ts';
import { PortMapperMachine } from '../src/protocols/port-mapping/machine.ts';
import { decodeNatPmpResponse } from '../src/protocols/port-mapping/nat-pmp.ts';
import { decodePcpResponse, encodePcpMap } from '../src/protocols/port-mapping/pcp.ts';
import { decodeSoap } from '../src/protocols/port-mapping/soap.ts';
import { decodeSsdpResponse } from '../src/protocols/port-mapping/ssdp.ts';
import { readXml } from '../src/protocols/port-mapping/xml.ts';

const OWN = '192.168.1.2';
const ROUTER = '192.168.1.1';
const description = parseHttpUrl(`http://${ROUTER}:5000/rootDesc.xml`)!;
const nonce = new Uint8Array(12);

const announced = fromHex(`02800000000000000000000700${'00'.repeat(11)}`);
const mapped = encodePcpMap({
  own: OWN,
  lifetime: 7200,
  nonce,
  protocol: 'udp',
  internalPort: 5000,
  external: { ip: '11.0.0.1', port: 5000 },
});
mapped[1] = 0x81;

const SERVICE =
  '<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/c</controlURL></service>';
const XML = `<?xml version="1.0"?><root><device a="b"><friendlyName>R &amp; D</friendlyName>${SERVICE}</device></root>`;
const SOAP =
  '<s:E><s:B><u:GetResponse><NewExternalIPAddress>11.0.0.1</NewExternalIPAddress></u:GetResponse></s:B></s:E>';
const FAULT = '<E><UPnPError><errorCode>718</errorCode><errorDescription>x</errorDescription></UPnPError></E>';
const CHUNKED = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`;

/** Datagrams of routers. */
export const mappingDatagrams: readonly Uint8Array[] = [
  announced,
  mapped,
  fromHex('00800000000000640b000001'),
  fromHex('00810000000000641388138900000e10'),
  encodeText(
    `HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://${ROUTER}:5000/rootDesc.xml\r\n\r\n`,
  ),
];

/** Answers of routers over HTTP, and what is in them. */
export const mappingDocuments: readonly Uint8Array[] = [
  encodeText(XML),
  encodeText(SOAP),
  encodeText(FAULT),
  encodeText(`HTTP/1.1 200 OK\r\nContent-Length: ${XML.length}\r\n\r\n${XML}`),
  encodeText(CHUNKED),
];

/** All decoders of datagrams, and a machine that awaits them. */
export function feedMappingDatagrams(input: Bytes): void {
  decodePcpResponse(input);
  decodeNatPmpResponse(input);
  decodeSsdpResponse(input);
  const machine = asked();
  machine.handleDatagram(1, OWN, { ip: ROUTER, port: 5351 }, input);
  machine.handleDatagram(2, OWN, { ip: ROUTER, port: 1900 }, input);
  machine.handleAnnouncement(3, { ip: ROUTER, port: 5351 }, input);
  machine.handleTimeout(250);
  drain(machine);
  machine.handleDatagram(260, OWN, { ip: ROUTER, port: 5351 }, concatBytes(input));
  drain(machine);
}

/** All readers of documents, and a machine that asked for them. */
export function feedMappingDocuments(input: Bytes): void {
  readXml(textOf(input));
  decodeIgdDescription(input, description);
  decodeSoap({ status: 200, body: input }, 'Get');
  decodeSoap({ status: 500, body: input }, 'Get');
  const reader = new HttpResponseReader();
  const half = input.length >> 1;
  reader.push(input.subarray(0, half));
  reader.push(input.subarray(half));
  reader.end();
  const { result } = reader;
  const machine = asked();
  machine.handleDatagram(1, OWN, { ip: ROUTER, port: 1900 }, mappingDatagrams.at(-1)!);
  machine.handleHttp(2, 1, { status: 200, body: encodeText(XML) });
  machine.handleTimeout(250);
  for (let call = 2; call < 20; call++) {
    drain(machine);
    machine.handleHttp(250 + call, call, { status: call % 3 === 0 ? 500 : 200, body: input });
    if (result !== undefined) machine.handleHttp(250 + call, call, result);
  }
}

function asked(): PortMapperMachine {
  const machine = new PortMapperMachine();
  const family = 4;
  machine.setRoutes(0, [{ family, own: OWN, prefixLength: 24, interfaceName: 'eth0', gateway: ROUTER }]);
  machine.map(0, { protocol: 'udp', family, internalPort: 5000, externalPort: 5000, lifetimeMs: 7_200_000 }, nonce);
  drain(machine);
  return machine;
}

/** @throws {Error} when the machine does not come to an end. */
function drain(machine: PortMapperMachine): void {
  for (let outputs = 0; machine.poll().type !== 'wait'; outputs++) {
    if (outputs > 1000) throw new Error('The machine does not come to an end');
  }
}
