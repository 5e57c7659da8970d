/*
 * agent/method.h - the functions behind the methods, one each; dispatch.c has the table. Each is
 * called when its caller may call it.
 */
#pragma once

#include "agent/request.h"

/* method-service.c: org.varlink.service */
enum dispatched method_get_info(struct request *req);
enum dispatched method_get_interface_description(struct request *req);

/* method-issue.c */
enum dispatched method_issue(struct request *req);
enum dispatched method_derive(struct request *req);

/* method-verify.c */
enum dispatched method_verify(struct request *req);

/* method-list.c */
enum dispatched method_list(struct request *req);
enum dispatched method_describe(struct request *req);

/* method-end.c */
enum dispatched method_revoke(struct request *req);
enum dispatched method_rotate(struct request *req);

/* method-watch.c */
enum dispatched method_watch(struct request *req);

/* method-explain.c */
enum dispatched method_explain(struct request *req);

/* method-credential.c */
enum dispatched method_put(struct request *req);
enum dispatched method_forget(struct request *req);
enum dispatched method_list_credentials(struct request *req);

/* method-fetch.c */
enum dispatched method_fetch(struct request *req);

/* method-audit.c */
enum dispatched method_read_audit(struct request *req);

/* method-backup.c */
enum dispatched method_backup(struct request *req);

/* method-map.c: io.jeton.Verifier */
enum dispatched method_get_map(struct request *req);
enum dispatched method_report_uses(struct request *req);

/* method-lock.c */
enum dispatched method_lock(struct request *req);
enum dispatched method_unlock(struct request *req);

/* method-rekey.c */
enum dispatched method_rekey(struct request *req);

/* method-admin.c */
enum dispatched method_get_status(struct request *req);
enum dispatched method_reload(struct request *req);
