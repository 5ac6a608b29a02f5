# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every key that Slurm 24.11 to 26.05 reads, and what its value may be, as data. Private to this collection.

From the parser's own tables (src/common/read_config.c) and the pages slurm.conf(5), gres.conf(5), cgroup.conf(5),
slurmdbd.conf(5). A key that Slurm does not know ends slurmctld and every slurmd, so none gets past these tables.
"""

from __future__ import annotations

import typing as t

# What a value may be; see values.py.
TEXT, BOOL, U16, U32, U64, FLOAT = "text", "bool", "u16", "u32", "u64", "float"
COUNT, TIME, MINUTES, SECONDS, SWITCH = "count", "time", "minutes", "seconds", "switch"

# Keys of slurm.conf itself by what their values are.
_SETTINGS: t.Final = {
    TEXT: """
        AccountingStorageBackupHost AccountingStorageEnforce AccountingStorageExternalHost AccountingStorageHost
        AccountingStorageParameters AccountingStoragePass AccountingStorageTRES AccountingStorageType
        AccountingStorageUser AccountingStoreFlags AcctGatherEnergyType AcctGatherFilesystemType
        AcctGatherInfinibandType AcctGatherInterconnectType AcctGatherProfileType AuthAltParameters AuthAltTypes
        AuthInfo AuthType BcastExclude BcastParameters BurstBufferParameters BurstBufferType CertgenType
        CertgenParameters CertmgrType CertmgrParameters CliFilterParameters CliFilterPlugins ClusterName
        CommunicationParameters CpuFreqDef CpuFreqGovernors CredType DataParserParameters DebugFlags DefRuntimePlugin
        DependencyParameters EnforcePartLimits Epilog EpilogSlurmctld FederationParameters GpuFreqDef GresTypes
        HashPlugin HealthCheckNodeState HealthCheckProgram HttpParserType InteractiveStepOptions
        JobAcctGatherFrequency JobAcctGatherParams JobAcctGatherType JobCompHost JobCompLoc JobCompParams JobCompPass
        JobCompPassScript JobCompType JobCompUser JobContainerType JobSubmitPlugins LaunchParameters LaunchType
        LicenseParameters Licenses LogTimeFormat MailDomain MailProg MCSParameters MCSPlugin MetricsAuthUsers
        MetricsParameters MetricsType MpiDefault MpiParams NamespaceType NodeFeaturesPlugins PluginDir
        PlugStackConfig PreemptParameters PreemptType PrEpParameters PrEpPlugins PriorityFlags PriorityParameters
        PrioritySiteFactorParameters PrioritySiteFactorPlugin PriorityType PriorityUsageResetPeriod
        PriorityWeightTRES PrivateData ProctrackType Prolog PrologFlags PrologSlurmctld PropagateResourceLimits
        PropagateResourceLimitsExcept RebootProgram ReconfigFlags RequeueExit RequeueExitHold ResumeFailProgram
        ResumeProgram ResvEpilog ResvProlog RoutePlugin SallocDefaultCommand SbcastParameters SchedulerParameters
        SchedulerType ScronParameters SelectType SelectTypeParameters SerializerParameters SerializerPlugins
        SlurmctldAddr SlurmctldDebug SlurmctldHttpAuthParameters SlurmctldLogFile SlurmctldParameters
        SlurmctldPidFile SlurmctldPort SlurmctldPrimaryOffProg SlurmctldPrimaryOnProg SlurmctldSyslogDebug
        SlurmdDebug SlurmdHttpAuthParameters SlurmdLogFile SlurmdParameters SlurmdPidFile SlurmdSpoolDir
        SlurmdSyslogDebug SlurmdUser SlurmrestdHttpAuthParameters SlurmrestdParameters SlurmSchedLogFile
        SlurmstepdParameters SlurmUser SrunEpilog SrunPortRange SrunProlog StateSaveLocation SuspendExcNodes
        SuspendExcParts SuspendExcStates SuspendProgram SwitchParameters SwitchType TaskEpilog TaskPlugin
        TaskPluginParam TaskProlog TLSParameters TLSType TmpFS TopologyParam TopologyPlugin UnkillableStepProgram
        UrlParserType X11Parameters
    """,
    BOOL: "AccountingStoreJobComment AllowSpecResourcesUsage DisableRootJobs PriorityFavorSmall TrackWCKey UsePAM",
    U16: """
        AccountingStoragePort AcctGatherNodeFreq BatchStartTimeout CompleteWait EioTimeout EpilogTimeout
        FairShareDampeningFactor GroupUpdateForce GroupUpdateTime HealthCheckInterval HealthCheckTimeout
        InactiveLimit JobFileAppend JobRequeue KillOnBadExit KillWait MaxTasksPerNode MessageTimeout
        PrologEpilogTimeout PrologTimeout PropagatePrioProcess ResumeRate ResumeTimeout ResvOverRun ReturnToService
        SchedulerTimeSlice SlurmctldTimeout SlurmdTimeout SlurmSchedLogLevel SuspendRate SuspendTimeout TCPTimeout
        TreeWidth UnkillableStepTimeout VSizeFactor WaitTime
    """,
    U32: """
        EpilogMsgTime FirstJobId JobCompPort KeepAliveTime MaxArraySize MaxBatchRequeue MaxDBDMsgs MaxJobCount
        MaxJobId MaxNodeCount MaxStepCount MinJobAge PriorityWeightAge PriorityWeightAssoc PriorityWeightFairshare
        PriorityWeightJobSize PriorityWeightPartition PriorityWeightQOS SlurmdPort
    """,
    U64: "DefCPUPerGPU DefMemPerCPU DefMemPerGPU DefMemPerNode MaxMemPerCPU MaxMemPerNode",
    TIME: "PreemptExemptTime PriorityCalcPeriod PriorityDecayHalfLife PriorityMaxAge",
    MINUTES: "OverTimeLimit",
    SECONDS: "SuspendTime",
    SWITCH: "PreemptMode",
}

# The first release from 24.11 on that knows a key; a key that is not here is known to all of them.
_SINCE: t.Final = {
    "25.11": """
        CertgenType CertgenParameters CliFilterParameters EpilogTimeout HttpParserType JobCompPassScript MetricsType
        NamespaceType PrologTimeout UrlParserType CgroupSlice EnableExtraControllers DisableArchiveCommands
        MaxPurgeLimit StoragePassScript
    """,
    "26.05": """
        HealthCheckTimeout LicenseParameters MetricsAuthUsers MetricsParameters SlurmctldHttpAuthParameters
        SlurmdHttpAuthParameters CgroupJobIdPaths
    """,
    # Public sources have them; 26.05.5 does not know them.
    "26.11": """
        DefRuntimePlugin SerializerParameters SerializerPlugins SlurmrestdHttpAuthParameters SlurmrestdParameters
        SlurmstepdParameters
    """,
}
SINCE: t.Final = {key: release for release, names in _SINCE.items() for key in names.split()}
# The same for the keys of nodes and partitions, some of which have the names of older settings.
LINE_SINCE: t.Final = {"GresConf": "25.11", "Parameters": "25.11", "Topology": "25.11", "Exclusive": "26.05"}

_CGROUP: t.Final = {
    TEXT: "CgroupMountpoint CgroupPlugin CgroupSlice EnableExtraControllers",
    BOOL: """
        CgroupJobIdPaths ConstrainCores ConstrainDevices ConstrainRAMSpace ConstrainSwapSpace EnableControllers
        IgnoreSystemd IgnoreSystemdOnFailure SignalChildrenProcesses
    """,
    FLOAT: "AllowedRAMSpace AllowedSwapSpace MaxRAMPercent MaxSwapPercent",
    U64: "MemorySwappiness MinRAMSpace SystemdTimeout",
}

_SLURMDBD: t.Final = {
    TEXT: """
        ArchiveDir ArchiveScript AuthAltParameters AuthAltTypes AuthInfo AuthType CommunicationParameters DbdAddr
        DbdBackupHost DbdHost DebugFlags DebugLevel DebugLevelSyslog DefaultQOS HashPlugin LogFile LogTimeFormat
        Parameters PidFile PluginDir PrivateData PurgeEventAfter PurgeJobAfter PurgeResvAfter PurgeStepAfter
        PurgeSuspendAfter PurgeTXNAfter PurgeUsageAfter SlurmUser StorageBackupHost StorageHost StorageLoc
        StorageParameters StoragePass StoragePassScript StorageType StorageUser TLSParameters TLSType
    """,
    BOOL: """
        AllResourcesAbsolute AllowNoDefAcct ArchiveEvents ArchiveJobs ArchiveResvs ArchiveSteps ArchiveSuspend
        ArchiveTXN ArchiveUsage DisableArchiveCommands DisableCoordDBD TrackSlurmctldDown TrackWCKey
    """,
    U16: "CommitDelay DbdPort MessageTimeout StoragePort TCPTimeout",
    U32: "MaxPurgeLimit",
    TIME: "MaxQueryTimeRange",
}

# In the order of the line.
NODE_KEYS: t.Final[dict[str, t.Any]] = {
    "NodeAddr": TEXT,
    "NodeHostname": TEXT,
    "BcastAddr": TEXT,
    "Port": TEXT,
    "Boards": COUNT,
    "CPUs": COUNT,
    "Sockets": COUNT,
    "SocketsPerBoard": COUNT,
    "CoresPerSocket": COUNT,
    "ThreadsPerCore": COUNT,
    "CoreSpecCount": U16,
    "CpuSpecList": TEXT,
    "CpuBind": ("none", "socket", "ldom", "core", "thread", "off"),
    "RestrictedCoresPerGPU": U16,
    "RealMemory": U64,
    "MemSpecLimit": U64,
    "TmpDisk": U32,
    "Gres": TEXT,
    "GresConf": TEXT,
    "Feature": TEXT,
    "Parameters": TEXT,
    "Topology": TEXT,
    "TRESWeights": TEXT,
    "Weight": U32,
    "State": ("CLOUD", "DOWN", "DRAIN", "FAIL", "FAILING", "FUTURE", "UNKNOWN", "EXTERNAL"),
    "Reason": TEXT,
}
# Another word for the same key, which is the one that messages use.
NODE_ALIASES: t.Final = {"addr": "NodeAddr", "hostname": "NodeHostname", "features": "Feature"}
# Keys of a node that slurm.conf does not hold: how gres.conf describes its devices.
NODE_OTHER: t.Final = ("name", "gres_file", "gres_autodetect", "gres_devices")

PARTITION_KEYS: t.Final[dict[str, t.Any]] = {
    "Nodes": TEXT,
    "Default": BOOL,
    "DefaultTime": TIME,
    "MaxTime": TIME,
    "OverTimeLimit": MINUTES,
    "MinNodes": U32,
    "MaxNodes": U32,
    "State": ("UP", "DOWN", "DRAIN", "INACTIVE"),
    "Alternate": TEXT,
    "Hidden": BOOL,
    "RootOnly": BOOL,
    "ReqResv": BOOL,
    "DisableRootJobs": BOOL,
    "PriorityTier": U16,
    "PriorityJobFactor": U16,
    "AllocNodes": TEXT,
    "AllowAccounts": TEXT,
    "AllowGroups": TEXT,
    "AllowQos": TEXT,
    "DenyAccounts": TEXT,
    "DenyQos": TEXT,
    "QOS": TEXT,
    "OverSubscribe": ("EXCLUSIVE", "FORCE", "YES", "NO"),
    "Exclusive": ("NO", "NODE", "USER", "TOPO"),
    "ExclusiveUser": BOOL,
    "ExclusiveTopo": BOOL,
    "LLN": BOOL,
    "PreemptMode": SWITCH,
    "GraceTime": U32,
    "CpuBind": ("none", "socket", "ldom", "core", "thread", "off"),
    "DefCpuPerGPU": U64,
    "DefMemPerCPU": U64,
    "DefMemPerGPU": U64,
    "DefMemPerNode": U64,
    "MaxCPUsPerNode": U32,
    "MaxCPUsPerSocket": U32,
    "MaxMemPerCPU": U64,
    "MaxMemPerNode": U64,
    "SelectTypeParameters": TEXT,
    "Topology": TEXT,
    "TRESBillingWeights": TEXT,
    "PowerDownOnIdle": BOOL,
    "ResumeTimeout": U16,
    "SuspendTime": SECONDS,
    "SuspendTimeout": U16,
}
# A line of gres_devices, in the order of gres.conf.
DEVICE_KEYS: t.Final[dict[str, t.Any]] = {
    "Name": TEXT,
    "Type": TEXT,
    "Count": TEXT,
    "File": TEXT,
    "MultipleFiles": TEXT,
    "Cores": TEXT,
    "Links": TEXT,
    "Flags": TEXT,
}


def _flat(table: dict[str, str]) -> dict[str, t.Any]:
    return {key: kind for kind, names in table.items() for key in names.split()}


# File -> its keys and what each value may be.
FILES: t.Final[dict[str, dict[str, t.Any]]] = {
    "slurm.conf": {**_flat(_SETTINGS), "SlurmctldHost": TEXT},
    "cgroup.conf": _flat(_CGROUP),
    "slurmdbd.conf": _flat(_SLURMDBD),
}
