/* SPDX-License-Identifier: MIT */
/*
 * TLVs of the PROXY protocol: one after the other, and the values of those that
 * have a form.
 */
#include <errno.h>

#include "lib/proxy_protocol/v2.h"

bool sfront_proxy_next_tlv(const struct sfront_proxy_header *header, struct sfront_proxy_tlv *tlv)
{
	const unsigned char *at = tlv->value ? tlv->value + tlv->size : header->tlvs;
	size_t left = header->tlvs_size - (size_t)(at - header->tlvs);

	if (left < TLV_FIXED_SIZE || left - TLV_FIXED_SIZE < get16(at + 1))
		return false;
	*tlv = (struct sfront_proxy_tlv){ at[0], get16(at + 1), at + TLV_FIXED_SIZE };
	return true;
}

bool sfront_proxy_find_tlv(const struct sfront_proxy_header *header, uint8_t type,
			   struct sfront_proxy_tlv *ret)
{
	struct sfront_proxy_tlv tlv = { 0 };

	while (sfront_proxy_next_tlv(header, &tlv)) {
		if (tlv.type == type) {
			*ret = tlv;
			return true;
		}
	}
	return false;
}

bool sfront_proxy_is_all_tlvs(const struct sfront_proxy_header *header)
{
	struct sfront_proxy_tlv tlv = { 0 };
	const unsigned char *end = header->tlvs;

	while (sfront_proxy_next_tlv(header, &tlv))
		end = tlv.value + tlv.size;
	return end == header->tlvs + header->tlvs_size;
}

uint32_t sfront_proxy_checksum(const unsigned char *data, const unsigned char *crc)
{
	static const unsigned char zero[CRC_SIZE];
	const unsigned char *after = crc + CRC_SIZE;
	uint32_t sum = sfront_crc32c(0, data, (size_t)(crc - data));

	sum = sfront_crc32c(sum, zero, CRC_SIZE);
	return sfront_crc32c(sum, after, size_of(data) - (size_t)(after - data));
}

int sfront_proxy_tlv_credentials(const struct sfront_proxy_tlv *tlv, struct sfront_credentials *ret)
{
	if (tlv->type != SFRONT_PROXY_TLV_CREDENTIALS || tlv->size != CREDENTIALS_SIZE)
		return -EINVAL;
	*ret = (struct sfront_credentials){
		.pid = (pid_t)get32(tlv->value),
		.uid = get32(tlv->value + 4),
		.gid = get32(tlv->value + 8),
	};
	return 0;
}

int sfront_proxy_tlv_vsock(const struct sfront_proxy_tlv *tlv, struct sfront_proxy_vsock *ret)
{
	if (tlv->type != SFRONT_PROXY_TLV_VSOCK || tlv->size != VSOCK_SIZE)
		return -EINVAL;
	*ret = (struct sfront_proxy_vsock){
		.cid = get32(tlv->value),
		.port = get32(tlv->value + 4),
		.own_cid = get32(tlv->value + 8),
		.own_port = get32(tlv->value + 12),
	};
	return 0;
}
