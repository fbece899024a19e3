"""Deliveries that are too old go."""
from kiln_testing.waiting import wait_for


def test_deliveries_that_ended_long_ago_go_with_their_attempts(own_builds, instance, bot):
    one = instance(KILN_RETENTION_EVERY_S="1")
    old, young, pending = (own_builds.ended(bot.url())[0] for _ in range(3))
    for build in (old, young, pending):
        own_builds.wait_state(build, "delivered")
    database = own_builds.database
    database.sql("update webhook_deliveries set created_at = now() - interval '399 days' where build_id = %s", young)
    database.sql(
        "update webhook_deliveries set created_at = now() - interval '500 days', state = 'pending', next_attempt_at = now() + interval '1 day' where build_id = %s", pending
    )
    database.sql("update webhook_deliveries set created_at = now() - interval '401 days' where build_id = %s", old)
    wait_for(lambda: own_builds.delivery(old) is None, "the old one to go")
    assert own_builds.attempts(old) == [] and own_builds.attempts(young) != []
    assert own_builds.delivery(young)["state"] == "delivered" and own_builds.delivery(pending)["state"] == "pending"
    assert database.sql("select count(distinct delivery_id) from webhook_attempts") == [(2,)]
    wait_for(lambda: one.metric('kiln_retention_removed_total{what="deliveries"}') == 1, "the metric")
