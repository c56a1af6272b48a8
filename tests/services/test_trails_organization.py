"""Organizations' trails: who makes, sees and changes them; delegated administrators."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skytrail.testing import Server, Skytrail

from .trails_house import OTHER_REGION, REGION, Home, refused

ORGANIZATION, MANAGEMENT = "o-exampleorgid", "111111111111"
MEMBERS = [f"{number}" * 12 for number in range(2, 7)]


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    settings = {"ID": ORGANIZATION, "MANAGEMENT": MANAGEMENT, "ACCOUNTS": ",".join(MEMBERS)}
    with Server(environment={f"SKYTRAIL_ORGANIZATION_{name}": value for name, value in settings.items()}) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    Skytrail(running.endpoint).reset()
    return running


@pytest.fixture
def management(server: Server) -> Home:
    return Home(server, MANAGEMENT)


@pytest.fixture
def member(server: Server) -> Home:
    return Home(server, MEMBERS[0])


def made(management: Home, name: str = "all-accounts") -> str:
    bucket = management.bucket(name, kind="organization bucket")
    answer = management.trails().create_trail(
        Name=name, S3BucketName=bucket, IsOrganizationTrail=True, IsMultiRegionTrail=True
    )
    assert answer["IsOrganizationTrail"] is True
    arn: str = answer["TrailARN"]
    return arn


def test_who_may_make_one(server: Server, member: Home) -> None:
    bucket = member.bucket("all-accounts", kind="organization bucket")
    with refused("NotOrganizationMasterAccountException"):
        member.trails().create_trail(Name="all-accounts", S3BucketName=bucket, IsOrganizationTrail=True)
    with refused("OrganizationsNotInUseException"):
        Home(server).trails().create_trail(Name="all-accounts", S3BucketName=bucket, IsOrganizationTrail=True)


def test_the_bucket_takes_both_folders(management: Home) -> None:
    ct = management.trails()
    with refused("InsufficientS3BucketPolicyException"):
        ct.create_trail(Name="trail", S3BucketName=management.bucket("trail"), IsOrganizationTrail=True)
    bucket = management.bucket("trail", kind="organization bucket", **{f"AWSLogs/{MANAGEMENT}/": "AWSLogs/none/"})
    with refused("InsufficientS3BucketPolicyException"):
        ct.create_trail(Name="trail", S3BucketName=bucket, IsOrganizationTrail=True)


def test_members_see_it_and_do_not_change_it(server: Server, management: Home, member: Home) -> None:
    arn = made(management)
    management.trails().start_logging(Name="all-accounts")
    ct = member.trails()
    (shown,) = ct.describe_trails()["trailList"]
    assert (shown["TrailARN"], shown["IsOrganizationTrail"]) == (arn, True)
    assert ct.describe_trails(includeShadowTrails=False)["trailList"] == []
    assert len(member.trails(OTHER_REGION).describe_trails()["trailList"]) == 1
    assert ct.describe_trails(trailNameList=["all-accounts"])["trailList"] == []
    assert ct.describe_trails(trailNameList=[arn])["trailList"] == [shown]
    assert [trail["TrailARN"] for trail in ct.list_trails()["Trails"]] == [arn]
    assert ct.get_trail(Name=arn)["Trail"] == shown
    assert ct.get_trail_status(Name=arn)["IsLogging"] is True
    for read in (ct.get_trail, ct.get_trail_status):
        with refused("TrailNotFoundException"):
            read(Name="all-accounts")
    for change in (ct.update_trail, ct.delete_trail, ct.stop_logging, ct.start_logging):
        with refused("NotOrganizationMasterAccountException"):
            change(Name=arn)
        with refused("TrailNotFoundException"):
            change(Name="all-accounts")
    with refused("NotOrganizationMasterAccountException"):
        ct.add_tags(ResourceId=arn, TagsList=[{"Key": "a", "Value": "b"}])
    with refused("CloudTrailARNInvalidException"):
        ct.list_tags(ResourceIdList=[arn])
    stranger = Home(server).trails()
    with refused("TrailNotFoundException"):
        stranger.get_trail(Name=arn)
    assert stranger.describe_trails()["trailList"] == []


def test_it_takes_room_of_the_members(management: Home, member: Home) -> None:
    bucket = member.open_bucket()
    for number in range(5):
        member.trails().create_trail(Name=f"own-{number}", S3BucketName=bucket)
    made(management)  # though a member has no room
    member.trails().delete_trail(Name="own-0")
    with refused("MaximumNumberOfTrailsExceededException"):
        member.trails().create_trail(Name="own-0", S3BucketName=bucket)
    member.trails().delete_trail(Name="own-1")
    # The name is not taken: the other one has the management account in its ARN.
    member.trails().create_trail(Name="all-accounts", S3BucketName=bucket)
    assert member.trails().get_trail(Name="all-accounts")["Trail"]["IsOrganizationTrail"] is False


def test_conversion(server: Server, management: Home, member: Home) -> None:
    ct = management.trails()
    ct.create_trail(Name="growing", S3BucketName=management.bucket("growing", kind="organization bucket"))
    assert member.trails().describe_trails()["trailList"] == []
    assert ct.update_trail(Name="growing", IsOrganizationTrail=True)["IsOrganizationTrail"] is True
    assert len(member.trails().describe_trails()["trailList"]) == 1
    assert ct.update_trail(Name="growing", IsOrganizationTrail=False)["IsOrganizationTrail"] is False
    assert member.trails().describe_trails()["trailList"] == []
    ct.update_trail(Name="growing", S3BucketName=management.bucket("growing"))
    with refused("InsufficientS3BucketPolicyException"):
        ct.update_trail(Name="growing", IsOrganizationTrail=True)
    member.trails().create_trail(Name="own-one", S3BucketName=member.bucket("own-one"))
    with refused("NotOrganizationMasterAccountException"):
        member.trails().update_trail(Name="own-one", IsOrganizationTrail=True)
    assert member.trails().update_trail(Name="own-one", IsOrganizationTrail=False)["IsOrganizationTrail"] is False
    stranger = Home(server)
    stranger.trails().create_trail(Name="own-one", S3BucketName=stranger.bucket("own-one"))
    with refused("OrganizationsNotInUseException"):
        stranger.trails().update_trail(Name="own-one", IsOrganizationTrail=True)


# Delegated administrators


def test_delegated_administrators(management: Home, member: Home) -> None:
    arn = made(management, "first")
    management.trails().register_organization_delegated_admin(MemberAccountId=member.account)
    ct = member.trails()
    ct.start_logging(Name=arn)
    assert management.trails().get_trail_status(Name="first")["IsLogging"] is True
    ct.add_tags(ResourceId=arn, TagsList=[{"Key": "a", "Value": "b"}])
    assert ct.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == [{"Key": "a", "Value": "b"}]
    assert ct.update_trail(Name=arn, EnableLogFileValidation=True)["LogFileValidationEnabled"] is True
    with refused("InvalidHomeRegionException"):
        member.trails(OTHER_REGION).stop_logging(Name=arn)
    # Only the management account turns it into one of its own.
    with refused("NotOrganizationMasterAccountException"):
        ct.update_trail(Name=arn, IsOrganizationTrail=False)
    # What it makes is the management account's.
    bucket = management.bucket("second", kind="organization bucket")
    second = ct.create_trail(Name="second", S3BucketName=bucket, IsOrganizationTrail=True)["TrailARN"]
    assert second == management.arn("second")
    assert management.trails().get_trail(Name="second")["Trail"]["S3BucketName"] == bucket
    with refused("TrailAlreadyExistsException"):
        ct.create_trail(Name="second", S3BucketName=bucket, IsOrganizationTrail=True)
    ct.delete_trail(Name=second)
    management.trails().deregister_organization_delegated_admin(DelegatedAdminAccountId=member.account)
    with refused("NotOrganizationMasterAccountException"):
        ct.stop_logging(Name=arn)


def test_who_makes_one_for_the_organization_has_room_for_it(management: Home, member: Home) -> None:
    management.trails().register_organization_delegated_admin(MemberAccountId=member.account)
    own = member.open_bucket()
    for number in range(5):
        member.trails().create_trail(Name=f"own-{number}", S3BucketName=own)
    bucket = management.bucket("all-accounts", kind="organization bucket")
    given = {"Name": "all-accounts", "S3BucketName": bucket, "IsOrganizationTrail": True}
    with refused("MaximumNumberOfTrailsExceededException") as told:
        member.trails().create_trail(**given)
    assert told.message == f"User: {member.account} already has 5 trails in {REGION}."
    member.trails().delete_trail(Name="own-0")
    assert member.trails().create_trail(**given)["TrailARN"] == management.arn("all-accounts")


def test_who_may_be_one(server: Server, management: Home, member: Home) -> None:
    ct = management.trails()
    register, deregister = ct.register_organization_delegated_admin, ct.deregister_organization_delegated_admin
    with refused("CannotDelegateManagementAccountException"):
        register(MemberAccountId=MANAGEMENT)
    with refused("AccountNotFoundException"):
        register(MemberAccountId="999999999999")
    with refused("InvalidParameterException"):
        register(MemberAccountId="9" * 13)
    with refused("AccountNotFoundException"):
        deregister(DelegatedAdminAccountId="999999999999")
    with refused("AccountNotRegisteredException"):
        deregister(DelegatedAdminAccountId=member.account)
    with refused("AccountNotRegisteredException"):
        deregister(DelegatedAdminAccountId=MANAGEMENT)
    for account in MEMBERS[:3]:
        register(MemberAccountId=account)
    with refused("AccountRegisteredException"):
        register(MemberAccountId=MEMBERS[0])
    with refused("DelegatedAdminAccountLimitExceededException"):
        register(MemberAccountId=MEMBERS[3])
    deregister(DelegatedAdminAccountId=MEMBERS[0])
    register(MemberAccountId=MEMBERS[3])
    for home, code in (
        (Home(server, MEMBERS[3]), "NotOrganizationManagementAccountException"),
        (Home(server), "OrganizationsNotInUseException"),
    ):
        with refused(code):
            home.trails().register_organization_delegated_admin(MemberAccountId=MEMBERS[4])
        with refused(code):
            home.trails().deregister_organization_delegated_admin(DelegatedAdminAccountId=MEMBERS[3])


def test_regions_of_members(member: Home, management: Home) -> None:
    """One of a single Region is seen there alone."""
    bucket = management.bucket("single", kind="organization bucket")
    management.trails().create_trail(Name="single", S3BucketName=bucket, IsOrganizationTrail=True)
    assert len(member.trails(REGION).describe_trails()["trailList"]) == 1
    assert member.trails(OTHER_REGION).describe_trails()["trailList"] == []
