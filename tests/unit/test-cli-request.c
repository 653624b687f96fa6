/* SPDX-License-Identifier: Apache-2.0 */
/* Options of run and create to the request's body, and the files they name. */
#include "cli-rows.h"

#include "base/alloc.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/request.h"

#include <errno.h>

/* Parses words separated by blanks as the operands and options of run; the body, or NULL with err.
 */
static json_t *build(const char *line, struct cay_error *err)
{
	_cleanup_(options_free_p) struct options *options = NULL;
	_cleanup_free_ const char **operands = NULL;
	_cleanup_strv_ struct strv words = { 0 };
	struct str rest = str_from(line);
	struct request_streams streams;
	json_t *body = NULL;
	size_t count;
	bool help, detach;

	while (rest.length > 0)
		strv_take(&words, str_dup(str_split(rest, ' ', &rest)));
	*err = (struct cay_error){ 0 };
	if (options_parse(run_options, (int)words.count, words.items, false, &options, &operands,
			  &count, &help, err) < 0)
		return NULL;
	detach = option_flag(options, "detach");
	if (request_get_streams(options, detach, &streams, err) >= 0)
		(void)request_build(options, operands[0], operands + 1, &streams, detach, &body,
				    err);
	return body;
}

#define STREAMS \
	"\"AttachStdin\":false,\"AttachStdout\":true,\"AttachStderr\":true,\"Tty\":false," \
	"\"OpenStdin\":false,\"StdinOnce\":false,"

static const struct cli_row bodies[] = {
	{ "img", "{\"HostConfig\":{}," STREAMS "\"Image\":\"img\"}" },
	{ "--entrypoint /e img a -b",
	  "{\"HostConfig\":{}," STREAMS
	  "\"Image\":\"img\",\"Cmd\":[\"a\",\"-b\"],\"Entrypoint\":[\"/e\"]}" },
	{ "-di img",
	  "{\"HostConfig\":{},\"AttachStdin\":false,\"AttachStdout\":false,"
	  "\"AttachStderr\":false,\"Tty\":false,\"OpenStdin\":true,"
	  "\"StdinOnce\":false,\"Image\":\"img\"}" },
	{ "-i -a stdin img",
	  "{\"HostConfig\":{},\"AttachStdin\":true,\"AttachStdout\":false,"
	  "\"AttachStderr\":false,\"Tty\":false,\"OpenStdin\":true,"
	  "\"StdinOnce\":true,\"Image\":\"img\"}" },
	{ "-h box -u 1:2 -w /w --stop-signal INT --stop-timeout 3 -e A=1 -l k=v -l x img",
	  "{\"HostConfig\":{}," STREAMS "\"Image\":\"img\",\"User\":\"1:2\","
	  "\"WorkingDir\":\"/w\",\"StopSignal\":\"INT\",\"StopTimeout\":3,\"Env\":[\"A=1\"],"
	  "\"Labels\":{\"k\":\"v\",\"x\":\"\"},\"Hostname\":\"box\"}" },
	{ "-m 1.5g --shm-size 64m --cpus 1.5 -c 512 --pids-limit -1 --oom-score-adj 5 "
	  "--ulimit nofile=10:20 --ulimit core=-1 --sysctl a.b=c img",
	  "{\"HostConfig\":{\"Memory\":1610612736,\"ShmSize\":67108864,\"NanoCpus\":1500000000,"
	  "\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":10,\"Hard\":20},"
	  "{\"Name\":\"core\",\"Soft\":-1,\"Hard\":-1}],\"Sysctls\":{\"a.b\":\"c\"},"
	  "\"CpuShares\":512,\"PidsLimit\":-1,\"OomScoreAdj\":5}," STREAMS "\"Image\":\"img\"}" },
	{ "--rm --init --privileged --read-only --cap-add NET_ADMIN --cap-drop ALL --group-add 5 "
	  "--add-host db=::1 --add-host a:1.2.3.4 --log-driver json-file --log-opt max-size=1m "
	  "--security-opt no-new-privileges --dns 9.9.9.9 img",
	  "{\"HostConfig\":{\"AutoRemove\":true,\"Init\":true,\"Privileged\":true,"
	  "\"ReadonlyRootfs\":true,\"CapAdd\":[\"NET_ADMIN\"],\"CapDrop\":[\"ALL\"],"
	  "\"GroupAdd\":[\"5\"],\"SecurityOpt\":[\"no-new-privileges\"],"
	  "\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{\"max-size\":\"1m\"}},"
	  "\"Dns\":[\"9.9.9.9\"],\"ExtraHosts\":[\"db:::1\",\"a:1.2.3.4\"]}," STREAMS
	  "\"Image\":\"img\"}" },
	{ "--restart on-failure:3 img",
	  "{\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"on-failure\",\"MaximumRetryCount\":3}}," STREAMS
	  "\"Image\":\"img\"}" },
	{ "-v /a:/b:ro -v vol:/c -v /anon --tmpfs /t:size=1m "
	  "--mount type=bind,src=/s,dst=/d,readonly "
	  "--mount type=tmpfs,target=/m,tmpfs-size=1m,tmpfs-mode=1777 img",
	  "{\"HostConfig\":{\"Binds\":[\"/a:/b:ro\",\"vol:/c\"],\"Mounts\":[{\"Type\":\"bind\","
	  "\"Source\":\"/s\",\"Target\":\"/d\",\"ReadOnly\":true},{\"Type\":\"tmpfs\","
	  "\"Target\":\"/m\",\"TmpfsOptions\":{\"SizeBytes\":1048576,\"Mode\":1023}}],"
	  "\"Tmpfs\":{\"/t\":\"size=1m\"}}," STREAMS "\"Image\":\"img\","
	  "\"Volumes\":{\"/anon\":{}}}" },
	{ "-v rel -v a:/b -v ab:c:z,ro --volumes-from x --volumes-from y:ro --volume-driver d "
	  "--storage-opt size=1g --publish-socket /h:/c --tmpfs t:u:v "
	  "--mount SRC=s,dst=/d,volume-opt=o=a=b,volume-label=c,volume-driver=e,volume-subpath=f "
	  "--mount type=BIND,dst=/e,bind-recursive=disabled,bind-create-src,consistency=Cached img",
	  "{\"HostConfig\":{\"StorageOpt\":{\"size\":\"1g\"},\"VolumeDriver\":\"d\","
	  "\"VolumesFrom\":[\"x\",\"y:ro\"],\"Binds\":[\"ab:c:z,ro\"],\"Mounts\":[{\"Type\":"
	  "\"volume\",\"Source\":\"s\",\"Target\":\"/d\",\"VolumeOptions\":{\"DriverConfig\":{"
	  "\"Options\":{\"o\":\"a=b\"},\"Name\":\"e\"},\"Labels\":{\"c\":\"\"},\"Subpath\":"
	  "\"f\"}},{\"Type\":\"bind\",\"Target\":\"/e\",\"BindOptions\":{\"NonRecursive\":true,"
	  "\"CreateMountpoint\":true},\"Consistency\":\"cached\"}],\"Tmpfs\":{\"t\":\"u:v\"},"
	  "\"PublishSockets\":[\"/h:/c\"]}," STREAMS
	  "\"Image\":\"img\",\"Volumes\":{\"rel\":{},\"a:/b\":{}}}" },
	{ "-p 8080:80 -p 127.0.0.1:53:53/udp -p [::1]::9 -p 7-8:17-18 --expose 99 img",
	  "{\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}],"
	  "\"53/udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"53\"}],"
	  "\"9/tcp\":[{\"HostIp\":\"::1\",\"HostPort\":\"\"}],"
	  "\"17/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"7\"}],"
	  "\"18/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8\"}]}}," STREAMS "\"Image\":\"img\","
	  "\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"9/tcp\":{},\"17/tcp\":{},\"18/tcp\":{},"
	  "\"99/tcp\":{}}}" },
	{ "-p 81-82 -p 9000-9010:90 img",
	  "{\"HostConfig\":{\"PortBindings\":{\"81/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"\"}],"
	  "\"82/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"\"}],"
	  "\"90/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"9000-9010\"}]}}," STREAMS
	  "\"Image\":\"img\",\"ExposedPorts\":{\"81/tcp\":{},\"82/tcp\":{},\"90/tcp\":{}}}" },
	{ "--network n --network-alias a --ip 1.2.3.4 img",
	  "{\"HostConfig\":{\"NetworkMode\":\"n\"}," STREAMS "\"Image\":\"img\","
	  "\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{"
	  "\"IPAMConfig\":{\"IPv4Address\":\"1.2.3.4\"},\"Aliases\":[\"a\"]}}}}" },
	{ "--net n img", "{\"HostConfig\":{\"NetworkMode\":\"n\"}," STREAMS "\"Image\":\"img\"}" },
	{ "--network n --network m img",
	  "{\"HostConfig\":{\"NetworkMode\":\"n\"}," STREAMS "\"Image\":\"img\","
	  "\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{},\"m\":{}}}}" },
	{ "--network n --network name=m,ip=10.0.0.2,ip6=fd00::1,alias=a,alias=b,"
	  "mac-address=02-AB-00-00-00-01,driver-opt=k=v=w,gw-priority=-3 --ip 1.2.3.4 img",
	  "{\"HostConfig\":{\"NetworkMode\":\"n\"}," STREAMS "\"Image\":\"img\","
	  "\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{\"IPAMConfig\":{\"IPv4Address\":"
	  "\"1.2.3.4\"}},\"m\":{\"IPAMConfig\":{\"IPv4Address\":\"10.0.0.2\",\"IPv6Address\":"
	  "\"fd00::1\"},\"Aliases\":[\"a\",\"b\"],\"MacAddress\":\"02:ab:00:00:00:01\","
	  "\"DriverOpts\":{\"k\":\"v=w\"},\"GwPriority\":-3}}}}" },
	{ "--mac-address 02:00:00:00:00:01 img",
	  "{\"HostConfig\":{}," STREAMS "\"Image\":\"img\",\"NetworkingConfig\":{"
	  "\"EndpointsConfig\":{\"default\":{\"MacAddress\":\"02:00:00:00:00:01\"}}}}" },
	{ "--network host img",
	  "{\"HostConfig\":{\"NetworkMode\":\"host\"}," STREAMS "\"Image\":\"img\"}" },
	{ "--domainname d.e --dns-opt ndots:2 --dns-search a-1.b. --dns-search . --dns ::1 "
	  "--add-host c:[::1] --add-host d=host-gateway img",
	  "{\"HostConfig\":{\"Dns\":[\"::1\"],\"DnsOptions\":[\"ndots:2\"],"
	  "\"DnsSearch\":[\"a-1.b.\",\".\"],\"ExtraHosts\":[\"c:::1\",\"d:host-gateway\"]}," STREAMS
	  "\"Image\":\"img\",\"Domainname\":\"d.e\"}" },
	{ "-p 0:80/TCP -p ::1:1:1 -p :5/sctp -p 127.0.0.1:8000-8010:90 -P img",
	  "{\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"0\"}],"
	  "\"1/tcp\":[{\"HostIp\":\"::1\",\"HostPort\":\"1\"}],"
	  "\"5/sctp\":[{\"HostIp\":\"\",\"HostPort\":\"\"}],"
	  "\"90/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8000-8010\"}]},"
	  "\"PublishAllPorts\":true}," STREAMS "\"Image\":\"img\",\"ExposedPorts\":{"
	  "\"80/tcp\":{},\"1/tcp\":{},\"5/sctp\":{},\"90/tcp\":{}}}" },
	{ "-p target=80,published=8080,protocol=udp,mode=host -p target=81 img",
	  "{\"HostConfig\":{\"PortBindings\":{\"80/udp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}],"
	  "\"81/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"\"}]}}," STREAMS
	  "\"Image\":\"img\",\"ExposedPorts\":{\"80/udp\":{},\"81/tcp\":{}}}" },
};

static void test_bodies(void **state)
{
	check_bodies(build, bodies, ARRAY_SIZE(bodies));
}

static void test_refused(void **state)
{
	static const struct cli_row cases[] = {
		{ "-m lots i", "--memory: \"lots\" is not a size such as 512m or 1.5g" },
		{ "--cpus x i", "--cpus: \"x\" is not a number such as 2 or 1.5" },
		{ "--ulimit nofile i", "--ulimit: \"nofile\" is not of the form NAME=SOFT[:HARD]" },
		{ "--ulimit nofile=5:4 i",
		  "--ulimit: \"nofile=5:4\" is not a soft limit at most as high as the hard one" },
		{ "--restart often i",
		  "--restart: \"often\" is not no, on-failure[:N], always or unless-stopped" },
		{ "--restart always --rm i", "--restart and --rm exclude each other" },
		{ "-d -a stdout i", "--attach and --detach exclude each other" },
		{ "--sysctl x i", "--sysctl: \"x\" is not of the form KEY=VALUE" },
		{ "-e =x i", "\"=x\" is not an environment variable" },
		{ "-v :/b i", "invalid spec: :/b: empty section between colons" },
		{ "-v /a:/b:cc:d i", "invalid spec: /a:/b:cc:d: too many colons" },
		{ "--mount type=bind,src=/x i",
		  "invalid argument \"type=bind,src=/x\" for \"--mount\" flag: target is "
		  "required" },
		{ "--mount colour=red i",
		  "invalid argument \"colour=red\" for \"--mount\" flag: unexpected key 'colour' "
		  "in 'colour=red'" },
		{ "--mount target=/a,readonly=maybe i",
		  "invalid argument \"target=/a,readonly=maybe\" for \"--mount\" flag: invalid "
		  "value for readonly: maybe" },
		{ "--mount type=tmpfs,dst=/a,tmpfs-mode=77777777777 i",
		  "invalid argument \"type=tmpfs,dst=/a,tmpfs-mode=77777777777\" for \"--mount\" "
		  "flag: invalid value for tmpfs-mode: 77777777777" },
		{ "--mount type=bind,dst=/a,volume-nocopy i",
		  "invalid argument \"type=bind,dst=/a,volume-nocopy\" for \"--mount\" flag: cannot "
		  "mix 'volume-*' options with mount type 'bind'" },
		{ "--mount dst=/a\"b i",
		  "invalid argument \"dst=/a\\\"b\" for \"--mount\" flag: parse error on line 1, "
		  "column 7: bare \" in non-quoted-field" },
		{ "--storage-opt size i", "--storage-opt: \"size\" is not of the form KEY=VALUE" },
		{ "--publish-socket /a:b i",
		  "--publish-socket: \"/a:b\" is not of the form HOST:CONTAINER, the paths of a "
		  "socket on this host and in the container, the second one absolute" },
		{ "-p 70000 i",
		  "--publish: \"70000\" is not of the form [[IP:]PORT:]PORT[/PROTOCOL]" },
		{ "-p 1.2.3:80:80 i",
		  "--publish: \"1.2.3:80:80\" is not of the form [[IP:]PORT:]PORT[/PROTOCOL]" },
		{ "-p 80/icmp i",
		  "--publish: \"80/icmp\" is not of the form [[IP:]PORT:]PORT[/PROTOCOL]" },
		{ "-p 1-2:1-3 i", "--publish: the ranges in \"1-2:1-3\" differ in length" },
		{ "--expose 5-4 i", "--expose: \"5-4\" is not of the form PORT[-PORT][/PROTOCOL]" },
		{ "-p published=80 i",
		  "--publish: \"published=80\" is not of the form [[IP:]PORT:]PORT[/PROTOCOL]" },
		{ "-p [1.2.3.4]:80:80 i",
		  "--publish: \"[1.2.3.4]:80:80\" is not of the form [[IP:]PORT:]PORT[/PROTOCOL]" },
		{ "--ip fd00::1 i", "--ip: \"fd00::1\" is not an IPv4 address" },
		{ "--network name=n,ip6=1.2.3.4 i",
		  "--network: \"1.2.3.4\" is not an IPv6 address" },
		{ "--mac-address 02:00:00-00:00:01 i",
		  "--mac-address: \"02:00:00-00:00:01\" is not a MAC address such as "
		  "02:42:ac:11:00:02" },
		{ "--network n --network n i", "--network: n is named twice" },
		{ "--network n --network none i", "--network: none excludes other networks" },
		{ "--network host --network n i", "--network: host excludes other networks" },
		{ "--network alias=a i", "--network: \"alias=a\" names no network" },
		{ "--network name=n,alias i", "--network: \"alias\" is not of the form KEY=VALUE" },
		{ "--network name=n,colour=red i",
		  "--network: unknown key \"colour\"; there are name, alias, driver-opt, "
		  "gw-priority, ip, ip6 and mac-address" },
		{ "--network name=n,driver-opt=a i",
		  "--network: \"a\" is not of the form KEY=VALUE" },
		{ "--network name=n,ip=1.2.3.4 --ip 1.2.3.5 i",
		  "--ip and ip= in --network exclude each other" },
		{ "--network name=n,alias=a --network-alias b i",
		  "--network-alias and alias= in --network exclude each other" },
		{ "--dns example.org i", "--dns: \"example.org\" is not an IP address" },
		{ "--dns-search a..b i", "--dns-search: \"a..b\" is not a domain" },
		{ "--dns-search -a i", "--dns-search: \"-a\" is not a domain" },
		{ "--add-host a i", "--add-host: \"a\" is not of the form HOST:IP" },
		{ "--add-host a:b i",
		  "--add-host: \"a:b\" is not of the form HOST:IP, with an IP address or "
		  "host-gateway" },
		{ "--pull daily i", "--pull: \"daily\" is not one of: always missing never" },
	};

	check_refusals(build, cases, ARRAY_SIZE(cases));
}

static void test_links(void **state)
{
	struct cay_error err;
	_cleanup_json_ json_t *body = build("--network n --link db:db img", &err);

	assert_null(body);
	assert_int_equal(err.code, CAY_UNSUPPORTED);
	assert_true(starts_with(err.message, "--link: there are no links; "));
}

static void test_mount_quotes(void **state)
{
	static const char *const words[] = { "--mount", "type=bind,\"src=/a,b\"\"c\",target=/d",
					     "i", NULL };
	_cleanup_(options_free_p) struct options *options = NULL;
	_cleanup_free_ const char **operands = NULL;
	_cleanup_json_ json_t *body = json_object(), *host = json_object();
	_cleanup_free_ char *text = NULL;
	struct cay_error err = { 0 };
	size_t count;
	bool help;

	assert_ok(options_parse(run_options, 3, (char *const *)(uintptr_t)words, false, &options,
				&operands, &count, &help, &err));
	assert_ok(request_add_volumes(options, body, host, &err));
	text = json_print(host);
	assert_string_equal(text,
			    "{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/a,b\\\"c\","
			    "\"Target\":\"/d\"}]}");
}

/* ---- environment and label files ---- */

static int read_lines(const char *directory, const char *text, bool labels, struct strv *list,
		      struct cay_error *err)
{
	_cleanup_free_ char *path = path_join(directory, "lines");

	assert_int_equal(file_write_volatile(path, text, strlen(text), 0600, err), 0);
	return lines_read(path, labels, list, err);
}

static void test_lines(void **state)
{
	static const char text[] = "\xef\xbb\xbf# comment\n\nA=1\r\n  B=two words # kept\n"
				   "CAY_TEST_SET\nCAY_TEST_UNSET\nE=\nF==x";
	static const char *const expected[] = { "A=1", "B=two words # kept", "CAY_TEST_SET=here",
						"E=", "F==x" };
	_cleanup_strv_ struct strv list = { 0 }, labels = { 0 };
	struct cay_error err = { 0 };
	char directory[64];

	make_test_directory(directory);
	assert_int_equal(setenv("CAY_TEST_SET", "here", 1), 0);
	assert_int_equal(unsetenv("CAY_TEST_UNSET"), 0);
	assert_ok(read_lines(directory, text, false, &list, &err));
	assert_int_equal(list.count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < list.count; i++)
		assert_string_equal(list.items[i], expected[i]);
	assert_ok(read_lines(directory, "key\nk=v\n", true, &labels, &err));
	assert_string_equal(labels.items[0], "key");
	assert_int_equal(read_lines(directory, "A=1\nB C=2\n", false, &list, &err), -EINVAL);
	assert_non_null(strstr(err.message, "line 2: the name in \"B C=2\" holds blanks"));
	assert_int_equal(read_lines(directory, "=1\n", false, &list, &err), -EINVAL);
	assert_ok(remove_tree(directory, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_links),  cmocka_unit_test(test_mount_quotes),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
