/**
 * The object gateway of Ceph as the second S3 server, in memory: it verifies the hash of a body, lists by bytes, wants tags
 * without quotes and ignores some conditions.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts, type Scratch, type ServerKind } from "./server.ts";

const CLUSTER = "3f1b8a52-6a35-4b3a-9f5a-0d5c1f6b7a01";
const DISK = "6d1b8a52-6a35-4b3a-9f5a-0d5c1f6b7a02";

const program = (name: string): string => `/usr/bin/${name}`;

/** `endpoint`, `virtualEndpoint`, `accessKeyId`, `secretAccessKey`. */
export const ceph: ServerKind = {
  name: "ceph",
  programs: ["ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin"].map(program),
  install: "apt-get install -y --no-install-recommends ceph-mon ceph-osd radosgw",
  async start(scratch) {
    const [v2, v1, http] = (await freePorts(3)) as [number, number, number];
    const config = writeConfig(scratch, { v2, v1, http });
    const map = join(scratch.folder, "run/monmap");
    const monitor = `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`;
    await scratch.run(
      program("monmaptool"),
      `--create --clobber --addv a ${monitor} --fsid ${CLUSTER} ${map}`.split(" "),
    );
    const run = (name: string, args: string): Promise<string> =>
      scratch.run(program(name), ["-c", config, ...args.split(" ")]);
    const spawn = (name: string, args: string): unknown =>
      scratch.spawn(program(name), ["-c", config, ...args.split(" ")]);
    await run("ceph-mon", `--mkfs -i a --monmap ${map} --keyring /dev/null`);
    spawn("ceph-mon", "-i a -f");
    await run("ceph", `osd new ${DISK}`);
    await run("ceph-osd", `-i 0 --mkfs --osd-uuid ${DISK}`);
    spawn("ceph-osd", "-i 0 -f");
    spawn("radosgw", "-n client.rgw.a -f");
    const endpoint = `http://127.0.0.1:${http}`;
    await scratch.answers(`${endpoint}/swift/healthcheck`);
    const keys = { accessKeyId: "AKTEST", secretAccessKey: "SKTESTSECRET" };
    await run(
      "radosgw-admin",
      `user create --uid t --display-name t --access-key ${keys.accessKeyId} --secret-key ${keys.secretAccessKey}`,
    );
    return { endpoint, virtualEndpoint: `http://localhost:${http}`, ...keys };
  },
};

/**
 * Without the modes of the messenger the gateway waits for ever; without `tcp_nodelay` each GET takes 45 ms; on a disk that is
 * 95 % full the monitor would end, though it writes next to nothing.
 */
function writeConfig(
  scratch: Scratch,
  ports: { readonly v2: number; readonly v1: number; readonly http: number },
): string {
  const [mon, osd, run] = ["mon", "osd", "run"].map((name) => scratch.make(name));
  const path = join(scratch.folder, "ceph.conf");
  const text = `
[global]
fsid = ${CLUSTER}
mon_initial_members = a
mon_host = [v2:127.0.0.1:${ports.v2},v1:127.0.0.1:${ports.v1}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_client_mode = crc
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
run_dir = ${run}
log_file = ${run}/$name.log
admin_socket = ${run}/$name.$pid.asok
mon_cluster_log_file = /dev/null
keyring = /dev/null
[mon]
mon_data = ${mon}
mon_data_avail_crit = 0
[osd]
osd_data = ${osd}
osd_objectstore = memstore
memstore_device_bytes = 1073741824
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:${ports.http} tcp_nodelay=1
rgw_data = ${run}
rgw_crypt_require_ssl = false
rgw_dns_name = localhost
`;
  writeFileSync(path, text);
  return path;
}
