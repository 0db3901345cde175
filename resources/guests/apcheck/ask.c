/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ap.h"
#include "ask.h"
#include "machine.h"
#include "print.h"

/* The interruption subclass Linux' AP bus uses. */
#define AP_ISC		6

/*
 * The message begins like a request of type 6, which all adapters know. The
 * simulated ones send it back as it is. A real one cannot execute it and
 * answers with an error reply, type 82 or 88.
 */
#define MESSAGE_SIZE	128
#define REQUEST_TYPE_6	0x06
#define ERROR_TYPE_82	0x82
#define ERROR_TYPE_88	0x88
#define ERROR_CODE	4	/* offset */
#define ERROR_SIZE	8

static void write_message(uint8_t *message, unsigned int apqn)
{
	unsigned int i;

	/* Other bytes for every queue: a mixed-up reply would show. */
	for (i = 0; i < MESSAGE_SIZE; i++)
		message[i] = i + (i & 1 ? APQI(apqn) : APID(apqn));
	message[0] = 0;
	message[1] = REQUEST_TYPE_6;
}

static bool equal(const uint8_t *a, const uint8_t *b, unsigned int length)
{
	while (length && *a == *b) {
		a++;
		b++;
		length--;
	}
	return !length;
}

/* Response codes that ask to try again; NQAP on a full queue is one. */
static bool is_passing(struct ap_result result)
{
	switch (AP_RC(result.status)) {
	case AP_RESET_IN_PROGRESS:
	case AP_BUSY:
	case AP_NOTHING_NOW:
		return result.cc == 3;
	default:
		return false;
	}
}

static void print_refusal(const char *instruction, struct ap_result result)
{
	print("FAILED, %s: condition code %u, response code %02x\n",
	      instruction, result.cc, AP_RC(result.status));
}

static enum end judge(const uint8_t *message, uint64_t psmid,
		      const uint8_t *answer, const struct ap_reply *reply)
{
	if (reply->truncated) {
		print("FAILED, the reply is longer than %lu bytes\n", reply->length);
		return END_WRONG_REPLY;
	}
	if (reply->psmid != psmid) {
		print("FAILED, the reply has PSMID %016lx, the message had %016lx\n",
		      reply->psmid, psmid);
		return END_WRONG_REPLY;
	}
	if (reply->length == MESSAGE_SIZE &&
	    equal(answer, message, MESSAGE_SIZE)) {
		print("ok, reply equals message\n");
		return END_OK;
	}
	if (reply->length >= ERROR_SIZE &&
	    (answer[1] == ERROR_TYPE_82 || answer[1] == ERROR_TYPE_88)) {
		print("ok, error reply %02x code %02x\n", answer[1],
		      answer[ERROR_CODE]);
		return END_OK;
	}
	print("FAILED, the reply of %lu bytes is not the message\n",
	      reply->length);
	return END_WRONG_REPLY;
}

enum end send_and_receive(unsigned int apqn, uint64_t psmid)
{
	static uint8_t message[MESSAGE_SIZE], answer[2 * MESSAGE_SIZE];
	struct patience patience = new_patience();
	struct ap_reply reply;
	struct ap_result result;

	write_message(message, apqn);
	do {
		result = nqap(apqn, psmid, message, sizeof(message));
	} while (is_passing(result) && try_again(&patience));
	if (result.cc) {
		print_refusal("NQAP", result);
		return END_QUEUE_REFUSED;
	}

	patience = new_patience();
	do {
		result = dqap(apqn, answer, sizeof(answer), &reply);
	} while (is_passing(result) && try_again(&patience));
	/* A reply longer than the buffer leaves condition code 1 or 2. */
	if (result.cc && !reply.truncated) {
		print_refusal("DQAP", result);
		return AP_RC(result.status) == AP_NOTHING_NOW ?
		       END_NO_REPLY : END_QUEUE_REFUSED;
	}
	return judge(message, psmid, answer, &reply);
}

/* Waits until TAPQ shows interruptions as `enabled`, or patience ends. */
static bool wait_for_interrupts(unsigned int apqn, bool enabled)
{
	struct patience patience = new_patience();
	struct ap_result result;
	uint64_t info;

	do {
		result = tapq(apqn, false, &info);
		if (!(result.status & AP_STATUS_INTERRUPTS) == !enabled)
			return true;
	} while (try_again(&patience));
	return false;
}

void try_interrupts(unsigned int apqn)
{
	static uint8_t indicator;
	struct ap_result result;

	result = aqic(apqn, true, AP_ISC, &indicator);
	if (result.cc) {
		print("%02x.%04x: interruption not enabled, response code %02x\n",
		      APID(apqn), APQI(apqn), AP_RC(result.status));
		return;
	}
	print("%02x.%04x: interruption enabled%s", APID(apqn), APQI(apqn),
	      wait_for_interrupts(apqn, true) ? "" : ", but TAPQ denies it");
	result = aqic(apqn, false, 0, &indicator);
	print(", disabled with response code %02x%s\n", AP_RC(result.status),
	      wait_for_interrupts(apqn, false) ? "" : ", but TAPQ denies it");
}
