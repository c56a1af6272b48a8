"""The types of resources whose data events advanced selectors choose, as the user guide lists them, and the forms of
their ARNs, as the service authorization reference gives them."""

from __future__ import annotations

import re
from functools import cache

from ....audit import data_files
from ....audit.classify import resource_types
from ....audit.resources import VARIABLE

#: Besides those of the operations that are known as data events.
_LISTED = """
    AIDevOps: AgentSpace Association OperatorAppTeam PipelineMetadata Service
    AIOps: InvestigationGroup
    AppConfig: Configuration
    AppSync: GraphQLApi
    B2BI: Transformer
    Backup: SearchJob
    Bedrock: AdvancedOptimizePromptJob AgentAlias AsyncInvoke AutomatedReasoningPolicy AutomatedReasoningPolicyVersion
        Blueprint DataAutomationInvocation DataAutomationProfile DataAutomationProject FlowAlias FlowExecution
        Guardrail InlineAgent KnowledgeBase Model PromptVersion Session Tool
    BedrockAgentCore: APIKeyCredentialProvider Browser BrowserCustom CodeInterpreter CodeInterpreterCustom Evaluator
        Gateway Memory OAuth2CredentialProvider Runtime RuntimeEndpoint TokenVault WorkloadIdentity
        WorkloadIdentityDirectory
    Cassandra: Stream Table
    CloudFront: KeyValueStore
    CloudOptimization: Profile Recommendation
    CloudTrail: Channel
    CloudWatch: Metric
    CodeGuruProfiler: ProfilingGroup
    CodeWhisperer: Customization Profile
    Cognito: IdentityPool
    DataExchange: Asset
    Deadline: Fleet Job Queue Worker
    DSQL: Cluster
    DynamoDB: Stream Table
    EC2: InstanceConnectEndpoint Snapshot
    ECS: ContainerInstance
    EKS: Dashboard
    EMRWAL: Workspace
    FinSpace: Environment
    FSx: Volume
    GameLiftStreams: Application StreamGroup
    GeoMaps: Provider
    GeoPlaces: Provider
    GeoRoutes: Provider
    Glue: Table
    GreengrassV2: ComponentVersion Deployment
    GuardDuty: Detector MalwareScan
    IoT: Certificate Thing
    IoTSiteWise: Asset TimeSeries
    IoTTwinMaker: Entity Workspace
    KendraRanking: ExecutionPlan
    Kinesis: Stream StreamConsumer
    KinesisFirehose: DeliveryStream
    KinesisVideo: SignalingChannel Stream
    Lambda: Function
    MachineLearning: MlModel
    ManagedBlockchain: Network Node
    ManagedBlockchainQuery: QueryAPI
    MedicalImaging: Datastore Imageset
    MWAA: Environment
    NeptuneGraph: Graph
    NetworkFlowMonitor: Monitor Scope
    NovaAct: WorkflowDefinition WorkflowRun
    One: UKey User
    PaymentCryptography: Alias Key
    PCAConnectorAD: Connector
    PCAConnectorSCEP: Connector
    Pinpoint: App
    QApps: QApp QAppSession
    QBusiness: Application DataSource Index Integration WebExperience
    QDeveloper: Integration
    QuickSight: Flow FlowSession
    Quicksight: ActionConnector
    RDS: DBCluster
    Redshift: Cluster
    RUM: AppMonitor
    S3: AccessPoint Object
    S3Express: Object
    S3ObjectLambda: AccessPoint
    S3Outposts: Object
    S3Tables: Table TableBucket
    S3Vectors: Index VectorBucket
    SageMaker: Endpoint ExperimentTrialComponent FeatureGroup MlflowTrackingServer
    SCN: Instance
    SDB: Domain
    ServiceDiscovery: Namespace Service
    SES: ConfigurationSet EmailIdentity Template
    Signer: SigningJob SigningProfile
    SitewiseAssistant: Conversation
    SMSVoice: Message OriginationIdentity
    SNS: PlatformEndpoint Topic
    SocialMessaging: PhoneNumberId WabaId
    SQS: Queue
    SSM: ExecutionPreview ManagedNode
    SSMMessages: ControlChannel
    StepFunctions: Activity StateMachine
    SupportAccess: Tenant TrustingAccount TrustingRole
    SWF: Domain
    ThinClient: Device Environment
    Timestream: Database RegionalEndpoint Table
    Transform: AgentInstance
    TransformCustom: Campaign Conversation KnowledgeItem Package
    VerifiedPermissions: PolicyStore
    XRay: Trace
"""
#: What the reference does not give by these names.
_FORMS = {
    "AWS::S3::AccessPoint": "s3:${Region}:${Account}:accesspoint/${AccessPointName}",
    "AWS::S3Express::Object": "s3express:${Region}:${Account}:bucket/${BucketName}",
    "AWS::S3ObjectLambda::AccessPoint": "s3-object-lambda:${Region}:${Account}:accesspoint/${AccessPointName}",
    "AWS::S3Outposts::Object": "s3-outposts:${Region}:${Account}:outpost/${OutpostId}",
    "AWS::SNS::PlatformEndpoint": "sns:${Region}:${Account}:endpoint/${Platform}",
    "AWS::Kinesis::StreamConsumer": "kinesis:${Region}:${Account}:stream/${StreamName}/consumer/${ConsumerName}",
}
#: Forms that the CloudTrail API reference gives besides the service's own.
_ALSO = {
    "AWS::CloudFront::KeyValueStore": "cloudfront:${Region}:${Account}:key-value-store/${Name}",
    "AWS::IoTSiteWise::TimeSeries": "iotsitewise:${Region}:${Account}:timeseries/${Id}",
    "AWS::RDS::DBCluster": "rds:${Region}:${Account}:cluster/${Name}",
    # All of a bucket: its calls that are about many objects.
    "AWS::S3::Object": "s3:::${BucketName}/",
    "AWS::S3Outposts::Object": "s3-outposts:${Region}:${Account}:${ObjectPath}",
    "AWS::SWF::Domain": "swf:${Region}:${Account}:domain/${Name}",
    "AWS::VerifiedPermissions::PolicyStore": "verifiedpermissions:${Region}:${Account}:policy-store/${Id}",
}
#: They have no ARNs, so that nothing can be asked of them.
WITHOUT_ARNS = frozenset({"AWS::CloudWatch::Metric"})


@cache
def all_types() -> frozenset[str]:
    listed = set()
    service = ""
    for word in _LISTED.split():
        if word.endswith(":"):
            service = word.removesuffix(":")
        else:
            listed.add(f"AWS::{service}::{word}")
    return frozenset(listed.union(*data_files.load("data_events.json").values()))


def is_arn_of(data_type: str, value: str) -> bool:
    """Whether a value has the form that a resource's ARN has; of any service where the type's own form is not known."""
    return _form(data_type).fullmatch(value) is not None


@cache
def _form(data_type: str) -> re.Pattern[str]:
    given = _FORMS.get(data_type)
    templates = (given,) if given is not None else _templates(data_type)
    if templates and data_type in _ALSO:
        templates = (*templates, _ALSO[data_type])
    return re.compile("|".join(map(_pattern, templates)) or r"arn:[^:]+:[a-z0-9-]+:[^:]*:[^:]*:.+", re.DOTALL)


def _templates(data_type: str) -> tuple[str, ...]:
    return tuple(
        template
        for service, types in data_files.load("data_events.json").items()
        if data_type in types
        for template in resource_types(service).get(data_type, ())
    )


def _pattern(template: str) -> str:
    service, region, account, resource = template.split(":", 3)
    parts = ("[^:]+" if part.startswith("$") else part for part in (region, account))
    pieces = [re.escape(piece) for piece in VARIABLE.split(resource)[::2]]
    # The last part is as it is named: an object's key may hold anything.
    named = "[^:/]+".join(pieces[:-1]) + ".+" + pieces[-1]
    return rf"arn:[^:]+:{re.escape(service)}:{':'.join(parts)}:{named}"
