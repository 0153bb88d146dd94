// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/affinity.h"

#include "vf-manager/vm.h"

#include <stdio.h>

json_t *affinity_facts(const struct vm_spec *spec)
{
	json_t *facts = NULL;

	for (unsigned int i = 0; i < spec->port_count; i++) {
		const struct vm_port *port = &spec->ports[i];
		json_t *words = json_array();

		for (unsigned int k = 0; k < port->word_count; k++)
			json_array_append_new(words, json_string(port->words[k]));
		if (port->word_count > 0 && facts == NULL)
			facts = json_object();
		if (port->word_count > 0)
			json_object_set(facts, port->name, words);
		json_decref(words);
	}
	return facts;
}

/* Of "VM/PORT"; the words of a VM that is none of ours any more are not known, and bind nobody. */
static const json_t *words_of(const struct daemon *d, const char *owner)
{
	size_t len = strcspn(owner, "/");

	for (size_t i = 0; owner[len] != '\0' && i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];

		if (strncmp(vm->name, owner, len) == 0 && vm->name[len] == '\0')
			return json_object_get(json_object_get(vm->facts, "anti_affinity"),
					       owner + len + 1);
	}
	return NULL;
}

static const char *common_word(const struct vm_port *port, const json_t *words)
{
	const json_t *word;
	size_t i;

	json_array_foreach((json_t *)words, i, word)
		for (unsigned int k = 0; k < port->word_count; k++)
			if (json_is_string(word) &&
			    strcmp(json_string_value(word), port->words[k]) == 0)
				return port->words[k];
	return NULL;
}

static bool is_vms(const char *owner, const char *vm)
{
	size_t len = vm != NULL ? strlen(vm) : 0;

	return len > 0 && strncmp(owner, vm, len) == 0 && owner[len] == '/';
}

struct affinity affinity_find(const struct daemon *d, const struct vm_port *port, const char *vm,
			      const struct pci_addr *pf)
{
	size_t at = d->ledger != NULL ? ledger_vf_place(d->ledger, pf, 0) : 0;

	for (; d->ledger != NULL && at < ledger_vf_count(d->ledger); at++) {
		const struct vf_row *row = ledger_vf_at(d->ledger, at);
		const char *word;

		if (pci_addr_cmp(&row->pf, pf) != 0)
			break;
		if (row->owner[0] == '\0' || row->state == VF_FREE ||
		    strcmp(row->boot_id, d->boot_id) != 0 || is_vms(row->owner, vm))
			continue;
		word = common_word(port, words_of(d, row->owner));
		if (word != NULL)
			return (struct affinity){ row->owner, word };
	}
	return (struct affinity){ NULL, NULL };
}
