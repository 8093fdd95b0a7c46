/** The bytes of PCP, NAT-PMP, SSDP, HTTP, XML and SOAP. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { concatBytes, decodeText, encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import { EpochWatch, natPmpRestarted, pcpRestarted } from '../../../src/protocols/port-mapping/epoch.ts';
import {
  encodeHttpRequest,
  HttpResponseReader,
  parseHttpUrl,
  resolveHttpUrl,
} from '../../../src/protocols/port-mapping/http.ts';
import { decodeIgdDescription } from '../../../src/protocols/port-mapping/igd.ts';
import {
  decodeNatPmpResponse,
  encodeNatPmpAddress,
  encodeNatPmpMap,
} from '../../../src/protocols/port-mapping/nat-pmp.ts';
import { decodePcpResponse, encodePcpAnnounce, encodePcpMap } from '../../../src/protocols/port-mapping/pcp.ts';
import { decodeSoap, encodeSoap } from '../../../src/protocols/port-mapping/soap.ts';
import { decodeSsdpResponse, encodeSsdpSearch, ssdpGroup } from '../../../src/protocols/port-mapping/ssdp.ts';
import { readXml } from '../../../src/protocols/port-mapping/xml.ts';

const vectors = JSON.parse(
  readFileSync(new URL('../../vectors/port-mapping.json', import.meta.url), 'utf8'),
) as Readonly<Record<'pcp' | 'natPmp' | 'ssdp' | 'soap', Readonly<Record<string, string>>>>;
const nonce = Uint8Array.from({ length: 12 }, (_, i) => i);
const pcp = (name: string) => decodePcpResponse(fromHex(vectors.pcp[name]!));
const natPmp = (name: string) => decodeNatPmpResponse(fromHex(vectors.natPmp[name]!));

describe('PCP', () => {
  const request = { own: '192.168.1.2', nonce, protocol: 'udp', internalPort: 5000 } as const;

  it('requests are the vectors', () => {
    assert.equal(toHex(encodePcpAnnounce('192.168.1.2')), vectors.pcp['announce']);
    const external = { ip: '0.0.0.0', port: 5000 };
    assert.equal(toHex(encodePcpMap({ ...request, lifetime: 7200, external })), vectors.pcp['map']);
    const none = { ip: '0.0.0.0', port: 0 };
    assert.equal(toHex(encodePcpMap({ ...request, lifetime: 0, external: none })), vectors.pcp['unmap']);
    const ipv6 = { own: '2001:db8::2', protocol: 'tcp', external: { ip: '::', port: 5000 } } as const;
    assert.equal(toHex(encodePcpMap({ ...request, ...ipv6, lifetime: 240 })), vectors.pcp['pinhole']);
  });

  it('answers are read', () => {
    assert.deepEqual(pcp('mapped'), {
      opcode: 'map',
      result: 0,
      lifetime: 1800,
      epoch: 100,
      nonce,
      protocol: 17,
      internalPort: 5000,
      external: { ip: '11.0.0.1', port: 5000 },
    });
    assert.deepEqual(pcp('announced'), { opcode: 'announce', result: 0, lifetime: 0, epoch: 7 });
  });

  it('requests, other versions, and lengths that are none are no answers', () => {
    for (const name of ['announce', 'map']) assert.equal(pcp(name), undefined);
    const mapped = fromHex(vectors.pcp['mapped']!);
    for (let length = 0; length < 60; length++) assert.equal(decodePcpResponse(mapped.subarray(0, length)), undefined);
    assert.equal(decodePcpResponse(concatBytes(mapped, new Uint8Array(1))), undefined);
    assert.equal(decodePcpResponse(concatBytes(mapped, new Uint8Array(1100))), undefined);
    mapped[0] = 1;
    assert.equal(decodePcpResponse(mapped), undefined);
  });
});

describe('NAT-PMP', () => {
  it('requests are the vectors', () => {
    assert.equal(toHex(encodeNatPmpAddress()), vectors.natPmp['address']);
    const map = { protocol: 'udp', internalPort: 5000, externalPort: 5000, lifetime: 7200 } as const;
    assert.equal(toHex(encodeNatPmpMap(map)), vectors.natPmp['map']);
    const unmap = { protocol: 'tcp', internalPort: 5000, externalPort: 0, lifetime: 0 } as const;
    assert.equal(toHex(encodeNatPmpMap(unmap)), vectors.natPmp['unmap']);
  });

  it('answers are read', () => {
    assert.deepEqual(natPmp('addressed'), { opcode: 'address', result: 0, epoch: 100, externalIp: '11.0.0.1' });
    assert.deepEqual(natPmp('mapped'), {
      opcode: 'udp',
      result: 0,
      epoch: 100,
      internalPort: 5000,
      externalPort: 5001,
      lifetime: 3600,
    });
    assert.deepEqual(natPmp('unsupported'), { opcode: 'error', result: 1 });
    for (const name of ['address', 'map']) assert.equal(natPmp(name), undefined);
    assert.equal(decodeNatPmpResponse(fromHex(vectors.natPmp['mapped']!).subarray(0, 15)), undefined);
  });
});

describe('epochs', () => {
  it('that jump back are a restart, those that run a little slow are none', () => {
    for (const [rule, epochs, restarts] of [
      [natPmpRestarted, [100, 200, 0], [false, false, true]],
      [natPmpRestarted, [100, 187, 273], [false, false, false]],
      [natPmpRestarted, [100, 180], [false, true]],
      [pcpRestarted, [100, 200, 0], [false, false, true]],
      [pcpRestarted, [100, 199, 300], [false, false, false]],
      [pcpRestarted, [100, 193, 295], [false, false, false]],
      [pcpRestarted, [100, 180], [false, true]],
      // It says that more time has passed than has: another router.
      [pcpRestarted, [100, 5000], [false, true]],
    ] as const) {
      const watch = new EpochWatch(rule);
      assert.deepEqual(
        epochs.map((epoch, i) => watch.note(i * 100_000, epoch)),
        restarts,
      );
    }
  });
});

describe('SSDP', () => {
  it('a search is the vector, and an answer is read', () => {
    const search = encodeSsdpSearch(ssdpGroup(4, 'eth0'), 'urn:schemas-upnp-org:device:InternetGatewayDevice:1');
    assert.equal(decodeText(search), vectors.ssdp['search']);
    assert.deepEqual(decodeSsdpResponse(encodeText(vectors.ssdp['answer']!)), {
      location: { host: { ip: '192.168.60.1', port: 40_377 }, path: '/rootDesc.xml' },
      target: 'urn:schemas-upnp-org:device:InternetGatewayDevice:1',
    });
    assert.match(decodeText(encodeSsdpSearch(ssdpGroup(6, 'eth0'), 'ssdp:all'))!, /^HOST: \[ff02::c\]:1900\r$/m);
  });

  it('searches, notices, and answers without a usable LOCATION are none', () => {
    const answer = vectors.ssdp['answer']!;
    for (const text of [
      vectors.ssdp['search']!,
      answer.replace('HTTP/1.1 200 OK', 'NOTIFY * HTTP/1.1'),
      answer.replace('LOCATION', 'X'),
      answer.replace('http:', 'https:'),
      answer.replace('192.168.60.1', 'router'),
      answer.replace('rootDesc.xml', 'a b'),
      answer + 'x'.repeat(2048),
    ]) {
      assert.equal(decodeSsdpResponse(encodeText(text)), undefined, text.slice(0, 40));
    }
  });
});

describe('URLs', () => {
  it('have an IP, a port, and a path that cannot end a request line', () => {
    assert.deepEqual(parseHttpUrl('HTTP://192.168.1.1/a?b'), { host: { ip: '192.168.1.1', port: 80 }, path: '/a?b' });
    assert.deepEqual(parseHttpUrl('http://[fe80::1]:5000'), { host: { ip: 'fe80::1', port: 5000 }, path: '/' });
    for (const text of [
      'http://a/',
      'ftp://1.2.3.4/',
      'http://1.2.3.4:0/',
      'http://1.2.3.4/\r\nX: y',
      'http://u@1.2.3.4/',
      'http://1.2.3.4:99999/',
      `http://1.2.3.4/${'a'.repeat(2000)}`,
    ]) {
      assert.equal(parseHttpUrl(text), undefined, text.slice(0, 40));
    }
    const base = parseHttpUrl('http://1.2.3.4:5/a/b')!;
    assert.equal(resolveHttpUrl('/c', base)?.path, '/c');
    assert.equal(resolveHttpUrl('c', base)?.path, '/a/c');
    assert.equal(resolveHttpUrl('http://1.2.3.4:6/d', base)?.host.port, 6);
    for (const text of ['//1.2.3.5/x', 'c\r\nd', 'javascript:x']) assert.equal(resolveHttpUrl(text, base), undefined);
  });
});

/** What comes of bytes in pieces of some size, and the end of the connection. */
function read(text: string, piece = 1e9, ends = true): string | undefined {
  const reader = new HttpResponseReader();
  const bytes = encodeText(text);
  for (let at = 0; at < bytes.length; at += piece) reader.push(bytes.subarray(at, at + piece));
  if (ends) reader.end();
  const { result } = reader;
  return result === undefined || result === 'malformed' ? result : `${result.status} ${decodeText(result.body)}`;
}

describe('HTTP', () => {
  it('bodies by length, in chunks and until the end are read, in whatever pieces they come', () => {
    for (const piece of [1, 2, 7, 1e9]) {
      assert.equal(read('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', piece, false), '200 hello');
      assert.equal(read('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', piece, false), '200 ');
      assert.equal(read('HTTP/1.0 500 X\n\nto the end', piece), '500 to the end');
      const chunked =
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n';
      assert.equal(read(chunked, piece, false), '200 abc0123456789');
      assert.equal(read(`HTTP/1.1 100 Continue\r\n\r\n${chunked}`, piece, false), '200 abc0123456789');
    }
  });

  it('what is no HTTP, not whole or too large is malformed', () => {
    const head = 'HTTP/1.1 200 OK\r\n';
    for (const text of [
      'SSH-2.0-x\r\n\r\n',
      `${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`,
      `${head}Content-Length: -1\r\n\r\n`,
      `${head}Content-Length: 65537\r\n\r\n`,
      `${head}Content-Length: 5\r\n\r\nhell`,
      `${head}Transfer-Encoding: gzip\r\n\r\nx`,
      `${head}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`,
      `${head}Transfer-Encoding: chunked\r\n\r\n1FFFF\r\n`,
      `${head}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n`,
      `${head}Transfer-Encoding: chunked\r\n\r\n${'1'.repeat(300)}`,
      `${head}Transfer-Encoding: chunked\r\n\r\n0\r\n${'a: b\r\n'.repeat(3000)}`,
      `${head}${'a: b\r\n'.repeat(3000)}`,
      `${head}\r\n${'x'.repeat(65_537)}`,
      'HTTP/1.1 100 C\r\n\r\n'.repeat(6),
      '',
    ]) {
      assert.equal(read(text), 'malformed', text.slice(0, 60));
    }
  });

  it('one that has failed takes no more, and keeps nothing', () => {
    const reader = new HttpResponseReader();
    reader.push(encodeText('nonsense\r\n\r\n'));
    for (let i = 0; i < 100; i++) reader.push(new Uint8Array(65_536));
    assert.equal(reader.result, 'malformed');
  });
});

describe('XML', () => {
  it('elements, text, CDATA, the five entities and characters by number are read', () => {
    const text =
      '\u{feff}<?xml version="1.0"?><!-- c --><u:a b="1 > 0" c=\'<>\'.replace><x>&lt;&amp;&gt;&quot;&apos;&#65;&#x42;</x><y/><z><![CDATA[<&>]]> t </z></u:a>';
    assert.equal(readXml(text), undefined, 'a < in an attribute');
    assert.deepEqual(readXml(text.replace("c='<>'.replace", "c='>'")), [
      { name: 'a', parent: -1, text: '' },
      { name: 'x', parent: 0, text: '<&>"\'AB' },
      { name: 'y', parent: 0, text: '' },
      { name: 'z', parent: 0, text: '<&> t' },
    ]);
  });

  it('document types, other entities, and what is not well formed are refused', () => {
    for (const text of [
      '<!DOCTYPE a><a/>',
      '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
      '<a>&nbsp;</a>',
      '<a>&lt</a>',
      '<a>&#0;</a>',
      '<a>&#xD800;</a>',
      '<a>&#x110000;</a>',
      '<a><b></a></b>',
      '<a></a',
      '<a',
      '<a/><b/>',
      '<a/>text',
      '<a></a></a>',
      '<a><!-- </a>',
      '<a><![CDATA[ </a>',
      '< a/>',
      '',
      'text',
    ]) {
      assert.equal(readXml(text), undefined, text);
    }
  });

  it('depth, elements and size are bounded, and text is cut off', () => {
    const nested = (depth: number): string => '<a>'.repeat(depth) + '</a>'.repeat(depth);
    assert.equal(readXml(nested(32))?.length, 32);
    assert.equal(readXml(nested(33)), undefined);
    assert.equal(readXml(`<a>${'<b/>'.repeat(2047)}</a>`)?.length, 2048);
    assert.equal(readXml(`<a>${'<b/>'.repeat(2048)}</a>`), undefined);
    assert.equal(readXml(`<a>${'x'.repeat(65_536)}</a>`), undefined);
    assert.equal(readXml(`<a>${'x'.repeat(9000)}</a>`)?.[0]?.text.length, 2048);
    assert.equal(readXml(`<${'a'.repeat(300)}/>`), undefined);
  });
});

describe('descriptions', () => {
  const at = parseHttpUrl('http://192.168.1.1:5000/d/root.xml')!;
  const service = (type: string, url: string): string =>
    `<service><serviceType>urn:schemas-upnp-org:service:${type}</serviceType><controlURL>${url}</controlURL></service>`;
  const describing = (services: string, more = '') =>
    decodeIgdDescription(encodeText(`<root>${more}<device><serviceList>${services}</serviceList></device></root>`), at);

  it('show the services that map, the best one first, on the same host only', () => {
    const found = describing(
      service('WANPPPConnection:1', 'ppp') +
        service('WANIPConnection:1', '/ip1') +
        service('WANIPConnection:2', 'http://192.168.1.1:80/ip2') +
        service('WANIPConnection:2', 'http://192.168.1.2:80/other') +
        service('WANIPv6FirewallControl:1', '/fw') +
        service('Layer3Forwarding:1', '/l3'),
    );
    assert.deepEqual(
      found?.connections.map(({ control: { host, path } }) => `${host.port}${path}`),
      ['80/ip2', '5000/ip1', '5000/d/ppp'],
    );
    assert.equal(found.firewall?.control.path, '/fw');
  });

  it('may name another base on the same host, and no other host', () => {
    const url = (base: string): string | undefined => {
      const control = describing(service('WANIPConnection:1', 'c'), `<URLBase>${base}</URLBase>`)?.connections[0]
        ?.control;
      return control && `${control.host.ip}:${control.host.port}${control.path}`;
    };
    assert.equal(url('http://192.168.1.1:81/x/'), '192.168.1.1:81/x/c');
    assert.equal(url('http://11.0.0.1:81/x/'), '192.168.1.1:5000/d/c');
  });
});

describe('SOAP', () => {
  const service = {
    type: 'urn:schemas-upnp-org:service:WANIPConnection:1',
    control: { host: { ip: '192.168.1.1', port: 5000 }, path: '/ctl/IPConn' },
  };
  const answer = (status: number, body: string) => decodeSoap({ status, body: encodeText(body) }, 'Get');

  it('a request is the vector', () => {
    assert.equal(decodeText(encodeSoap(service, 'GetExternalIPAddress', [])), vectors.soap['request']);
    assert.match(decodeText(encodeSoap(service, 'A', [['N', '<&>']]))!, /<N>&lt;&amp;&gt;<\/N>/);
    assert.match(
      decodeText(encodeHttpRequest(service.control))!,
      /^GET \/ctl\/IPConn HTTP\/1\.1\r\nHost: 192\.168\.1\.1:5000\r\n/,
    );
  });

  it('answers, errors, and what is neither are told apart', () => {
    const ok = answer(200, '<s:E><s:Body><u:GetResponse><X>1</X><Y>&amp;</Y></u:GetResponse></s:Body></s:E>');
    assert.deepEqual(ok.type === 'ok' && Object.fromEntries(ok.values), { X: '1', Y: '&' });
    const error =
      '<E><F><UPnPError><errorCode>718</errorCode><errorDescription>Con\u001bflict</errorDescription></UPnPError></F></E>';
    assert.deepEqual(answer(500, error), { type: 'fault', code: 718, description: 'Con\u{fffd}flict' });
    assert.deepEqual(answer(500, 'x'), { type: 'fault', code: 0, description: 'HTTP 500' });
    assert.deepEqual(answer(200, 'x'), { type: 'failed', reason: 'malformed' });
    assert.deepEqual(answer(200, '<a/>'), { type: 'failed', reason: 'malformed' });
    assert.deepEqual(decodeSoap('too_slow', 'Get'), { type: 'failed', reason: 'too_slow' });
  });
});
