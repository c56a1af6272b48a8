"""SNS: topics, subscriptions and what is published to them."""

from __future__ import annotations

from ..engines import Operations
from . import attributes, managing, policies, publishing, subscribing, subscription_attributes, tags
from .delivering import start, stop
from .permissions import demands
from .schema import SCHEMA
from .signing import certificate

__all__ = ["OPERATIONS", "SCHEMA", "certificate", "demands", "start", "stop"]

OPERATIONS: Operations = {
    "AddPermission": policies.add_permission,
    "ConfirmSubscription": subscribing.confirm_subscription,
    "CreateTopic": managing.create_topic,
    "DeleteTopic": managing.delete_topic,
    "GetSubscriptionAttributes": subscription_attributes.get_subscription_attributes,
    "GetTopicAttributes": attributes.get_topic_attributes,
    "ListSubscriptions": subscription_attributes.list_subscriptions,
    "ListSubscriptionsByTopic": subscription_attributes.list_subscriptions_by_topic,
    "ListTagsForResource": tags.list_tags_for_resource,
    "ListTopics": managing.list_topics,
    "Publish": publishing.publish,
    "PublishBatch": publishing.publish_batch,
    "RemovePermission": policies.remove_permission,
    "SetSubscriptionAttributes": subscription_attributes.set_subscription_attributes,
    "SetTopicAttributes": attributes.set_topic_attributes,
    "Subscribe": subscribing.subscribe,
    "TagResource": tags.tag_resource,
    "Unsubscribe": subscribing.unsubscribe,
    "UntagResource": tags.untag_resource,
}
