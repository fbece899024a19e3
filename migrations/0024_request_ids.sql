-- Webhooks carry the id of the request that asked for the build (docs/webhooks.md), which is in its origin. Not the spec: prompts are nothing for the notifier.
GRANT SELECT (build_id, origin) ON build_requests TO kiln_notifier;
