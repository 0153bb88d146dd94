// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmowner.h"

#include "vf-manager/vm.h"

#include "base/parse.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#define UID_MAX (UINT32_MAX - 1) /* the last means "no change" to the kernel */

int vm_owner_read(const struct daemon *d, const char *text, struct vm_owner *out, struct err *e)
{
	struct passwd entry, *found = NULL;
	char buf[16384];
	uint64_t uid;
	int r;

	if (parse_u64(text, UID_MAX - 1, &uid) < 0) {
		r = strlen(text) < sizeof(out->name)
			    ? getpwnam_r(text, &entry, buf, sizeof(buf), &found)
			    : ENOENT;
		if (found == NULL) {
			err_set(e, EINVAL, "owner: there is no user '%.64s'%s%s", text,
				r != 0 && r != ENOENT ? ": " : "",
				r != 0 && r != ENOENT ? strerror(r) : "");
			err_code(e, "no-such-user");
			return err_hint(e,
					"getent passwd   lists the users; a number will do, too");
		}
		uid = found->pw_uid;
	}
	if (uid >= d->config.uid_first && uid - d->config.uid_first < d->config.uid_count)
		return err_set(e, EINVAL, "owner: uid %llu is one of the VMs' own",
			       (unsigned long long)uid);
	*out = (struct vm_owner){ .is_set = true, .uid = (uid_t)uid };
	snprintf(out->name, sizeof(out->name), "%s", text);
	return 0;
}

json_t *vm_owner_json(const struct vm_owner *owner)
{
	if (!owner->is_set)
		return NULL;
	return json_pack("{s:I, s:s}", "uid", (json_int_t)owner->uid, "name", owner->name);
}

int vm_owner_check(struct daemon *d, const char *name, const struct caller *who, struct err *e)
{
	char vm_name[64];
	const json_t *owner, *uid;
	const struct vm *vm;

	snprintf(vm_name, sizeof(vm_name), "%.*s", (int)strcspn(name, "/"), name);
	vm = vm_find(d, vm_name);
	owner = vm != NULL ? json_object_get(vm->facts, "owner") : NULL;
	if (!json_is_object(owner))
		return 0;
	uid = json_object_get(owner, "uid");
	if (who->uid == 0 || who->uid == geteuid() ||
	    (json_is_integer(uid) && json_integer_value(uid) == (json_int_t)who->uid))
		return 1;
	err_set(e, EPERM, "the VM %s belongs to %.64s: only he and root may do this, not uid %u",
		vm_name, json_string_value(json_object_get(owner, "name")), who->uid);
	err_code(e, "not-owner");
	return err_hint(e, "viaduct vm show %s   says whose it is; ask him, or use sudo", vm_name);
}
