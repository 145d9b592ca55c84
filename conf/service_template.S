/* SPDX-License-Identifier: MIT */
/*
 * The shipped sockfront@.service as a string, for service_unit.c: what is written of it for
 * a configuration is restricted as that is.
 */
	.section .rodata
	.globl service_template
service_template:
	.incbin "systemd/sockfront@.service"
	.byte 0
	.section .note.GNU-stack, "", %progbits
