//! The structures of Docker's answers, versions 1.24 to 1.51, in the notation
//! of [`super::shape`].
//!
//! Facts are those of Docker's API documents; where they say less than a
//! client sees, or another thing, of what Docker 28.5.2 was seen to answer.

/// Of containers and programs in them.
pub const CONTAINERS: &str = r#"
Created
    Id:id Warnings:[text]
Updated
    Warnings:[text]~
Waited
    StatusCode:int Error?:WaitError
WaitError
    Message:text
Top
    Processes:[[text]]~ Titles:[text]
Change
    Path:text Kind:int
ContainersPruned
    ContainersDeleted:[id]~ SpaceReclaimed:int

ContainerRow
    Id:id Names:[text] Image:text ImageID:digest Command:text Created:int Ports:[PortRow]
    SizeRw?:int SizeRootFs?:int Labels:{text} Status:text HostConfig:RowHost
    State:"created|running|paused|restarting|removing|exited|dead"
    NetworkSettings:RowNetworks Mounts:[MountPoint]
PortRow
    IP?:text PrivatePort:int PublicPort?:int Type:"tcp|udp|sctp"
RowHost
    NetworkMode:text Annotations?:{text}
RowNetworks
    Networks:{Endpoint}
MountPoint
    Type:"bind|volume|tmpfs|image|npipe|cluster" Name?:text Source:text Destination:text
    Driver?:text Mode:text RW:bool Propagation:text

Container
    Id:id Created:time Path:text Args:[text] State:State Image:digest ResolvConfPath:text
    HostnamePath:text HostsPath:text LogPath:text Name:text RestartCount:int Driver:text
    Platform:text MountLabel:text ProcessLabel:text AppArmorProfile:text ExecIDs:[id]~
    HostConfig:HostConfig GraphDriver:GraphDriver SizeRw?:int SizeRootFs?:int
    Mounts:[MountPoint] Config:Config NetworkSettings:NetworkSettings
    Cofferdam?:Confinement
Confinement
    Weakened:[text] IdBase:int~ IdSize:int~ LogDropped:int~
State
    Status:"created|running|paused|restarting|removing|exited|dead" Running:bool Paused:bool
    Restarting:bool OOMKilled:bool Dead:bool Pid:int ExitCode:int Error:text StartedAt:time
    FinishedAt:time Health?:Health
Health
    Status:"none|starting|healthy|unhealthy" FailingStreak:int Log:[Probe]
Probe
    Start:time End:time ExitCode:int Output:text
GraphDriver
    Data:{text}~ Name:text
Config
    Hostname:text Domainname:text User:text AttachStdin:bool AttachStdout:bool
    AttachStderr:bool ExposedPorts?:{Nothing} Tty:bool OpenStdin:bool StdinOnce:bool
    Env:[text]~ Cmd:[text]~ Healthcheck?:Healthcheck ArgsEscaped?:bool Image:text
    Volumes:{Nothing}~ WorkingDir:text Entrypoint:[text]~ NetworkDisabled?:bool
    MacAddress?:text OnBuild:[text]~ Labels:{text}~ StopSignal?:text StopTimeout?:int
    Shell?:[text]
Nothing
Healthcheck
    Test?:[text] Interval?:int Timeout?:int StartPeriod?:int StartInterval?:int Retries?:int
HostConfig
    Binds:[text]~ ContainerIDFile:text LogConfig:LogConfig NetworkMode:text
    PortBindings:{[Binding]~}~ RestartPolicy:RestartPolicy AutoRemove:bool VolumeDriver:text
    VolumesFrom:[text]~ ConsoleSize:[int] Annotations?:{text} CapAdd:[text]~ CapDrop:[text]~
    CgroupnsMode:text Dns:[text]~ DnsOptions:[text]~ DnsSearch:[text]~ ExtraHosts:[text]~
    GroupAdd:[text]~ IpcMode:text Cgroup:text Links:[text]~ OomScoreAdj:int PidMode:text
    Privileged:bool PublishAllPorts:bool ReadonlyRootfs:bool SecurityOpt:[text]~
    StorageOpt?:{text} Tmpfs?:{text} UTSMode:text UsernsMode:text ShmSize:int
    Sysctls?:{text} Runtime:text Isolation:text CpuShares:int Memory:int NanoCpus:int
    CgroupParent:text BlkioWeight:int BlkioWeightDevice:[Weight]~ BlkioDeviceReadBps:[Rate]~
    BlkioDeviceWriteBps:[Rate]~ BlkioDeviceReadIOps:[Rate]~ BlkioDeviceWriteIOps:[Rate]~
    CpuPeriod:int CpuQuota:int CpuRealtimePeriod:int CpuRealtimeRuntime:int CpusetCpus:text
    CpusetMems:text Devices:[Device]~ DeviceCgroupRules:[text]~ DeviceRequests:[any]~
    MemoryReservation:int MemorySwap:int MemorySwappiness:int~ OomKillDisable:bool~
    PidsLimit:int~ Ulimits:[Ulimit]~ CpuCount:int CpuPercent:int IOMaximumIOps:int
    IOMaximumBandwidth:int Mounts?:[Mount] MaskedPaths:[text]~ ReadonlyPaths:[text]~
    Init?:bool Egress?:[text]
LogConfig
    Type:text Config:{text}~
Binding
    HostIp:text HostPort:text
RestartPolicy
    Name:text MaximumRetryCount:int
Weight
    Path:text Weight:int
Rate
    Path:text Rate:int
Device
    PathOnHost:text PathInContainer:text CgroupPermissions:text
Ulimit
    Name:text Hard:int Soft:int
Mount
    Type:text Source?:text Target:text ReadOnly?:bool Consistency?:text
    BindOptions?:BindOptions VolumeOptions?:VolumeOptions TmpfsOptions?:TmpfsOptions
    ImageOptions?:ImageOptions
BindOptions
    Propagation?:text NonRecursive?:bool CreateMountpoint?:bool ReadOnlyNonRecursive?:bool
    ReadOnlyForceRecursive?:bool
VolumeOptions
    NoCopy?:bool Labels?:{text} DriverConfig?:DriverConfig Subpath?:text
DriverConfig
    Name?:text Options?:{text}
TmpfsOptions
    SizeBytes?:int Mode?:int Options?:[[text]]
ImageOptions
    Subpath?:text
NetworkSettings
    Bridge:text SandboxID:text SandboxKey:text Ports:{[Binding]~} HairpinMode:bool
    LinkLocalIPv6Address:text LinkLocalIPv6PrefixLen:int SecondaryIPAddresses:[any]~
    SecondaryIPv6Addresses:[any]~ EndpointID:text Gateway:text GlobalIPv6Address:text
    GlobalIPv6PrefixLen:int IPAddress:text IPPrefixLen:int IPv6Gateway:text MacAddress:text
    Networks:{Endpoint}
Endpoint
    IPAMConfig:EndpointIpam~ Links:[text]~ Aliases:[text]~ MacAddress:text
    DriverOpts:{text}~ GwPriority:int NetworkID:text EndpointID:text Gateway:text
    IPAddress:text IPPrefixLen:int IPv6Gateway:text GlobalIPv6Address:text
    GlobalIPv6PrefixLen:int DNSNames:[text]~
EndpointIpam
    IPv4Address?:text IPv6Address?:text LinkLocalIPs?:[text]

Stats
    name?:text id?:id read:time preread:time pids_stats:PidsStats blkio_stats:BlkioStats
    num_procs:int storage_stats:Nothing cpu_stats:CpuStats precpu_stats:CpuStats
    memory_stats:MemoryStats networks?:{NetworkStats} Cofferdam?:OwnStats
OwnStats
    pressure_stats:Pressure oom_kills:int
Pressure
    cpu?:Stalls memory?:Stalls io?:Stalls
Stalls
    some:Stall full:Stall
Stall
    avg10:num avg60:num avg300:num total:int
PidsStats
    current?:int limit?:int
BlkioStats
    io_service_bytes_recursive:[BlkioEntry]~ io_serviced_recursive:[BlkioEntry]~
    io_queue_recursive:[BlkioEntry]~ io_service_time_recursive:[BlkioEntry]~
    io_wait_time_recursive:[BlkioEntry]~ io_merged_recursive:[BlkioEntry]~
    io_time_recursive:[BlkioEntry]~ sectors_recursive:[BlkioEntry]~
BlkioEntry
    major:int minor:int op:text value:int
CpuStats
    cpu_usage:CpuUsage system_cpu_usage?:int online_cpus?:int throttling_data:Throttling
CpuUsage
    total_usage:int percpu_usage?:[int] usage_in_kernelmode:int usage_in_usermode:int
Throttling
    periods:int throttled_periods:int throttled_time:int
MemoryStats
    usage?:int max_usage?:int stats?:{int} failcnt?:int limit?:int commitbytes?:int
    commitpeakbytes?:int privateworkingset?:int
NetworkStats
    rx_bytes:int rx_packets:int rx_errors:int rx_dropped:int tx_bytes:int tx_packets:int
    tx_errors:int tx_dropped:int

ExecCreated
    Id:id
Exec
    ID:id Running:bool ExitCode:int~ ProcessConfig:ExecProcess OpenStdin:bool
    OpenStderr:bool OpenStdout:bool CanRemove:bool ContainerID:id DetachKeys:text Pid:int
ExecProcess
    tty:bool entrypoint:text arguments:[text] privileged?:bool user?:text
"#;

/// Of images and builds.
pub const IMAGES: &str = r"
ImageRow
    Containers:int Created:int Id:digest Labels:{text}~ ParentId:text RepoDigests:[text]~
    RepoTags:[text]~ SharedSize:int Size:int VirtualSize@..43:int
Image
    Id:digest RepoTags:[text] RepoDigests:[text] Parent:text Comment:text Created?:time
    DockerVersion:text Author:text Config:ImageConfig Architecture:text Variant?:text
    Os:text OsVersion?:text Size:int VirtualSize@..43:int GraphDriver:GraphDriver
    RootFS:RootFs Metadata:ImageMetadata Container?@..44:text
    ContainerConfig@..44:Config
ImageConfig
    Hostname@..49:text Domainname@..49:text User:text AttachStdin@..49:bool
    AttachStdout@..49:bool AttachStderr@..49:bool ExposedPorts?:{Nothing} Tty@..49:bool
    OpenStdin@..49:bool StdinOnce@..49:bool Env:[text]~ Cmd:[text]~ Healthcheck?:Healthcheck
    ArgsEscaped?:bool Image@..49:text Volumes:{Nothing}~ WorkingDir:text Entrypoint:[text]~
    OnBuild:[text]~ Labels:{text}~ StopSignal?:text Shell?:[text]
RootFs
    Type:text Layers?:[digest]
ImageMetadata
    LastTagTime:time
ImageStep
    Id:text Created:int CreatedBy:text Tags:[text]~ Size:int Comment:text
ImageRemoved
    Untagged?:text Deleted?:digest
ImagesPruned
    ImagesDeleted:[ImageRemoved]~ SpaceReclaimed:int
Committed
    Id:digest
Progress
    status?:text id?:text progressDetail?:ProgressDetail progress?:text stream?:text
    aux?:any error?:text errorDetail?:ErrorDetail
ProgressDetail
    current?:int total?:int start?:int units?:text hidecounts?:bool
ErrorDetail
    code?:int message:text
BuildPruned
    CachesDeleted:[text]~ SpaceReclaimed:int
BuildCache
    ID:text Parent?@..41:text Parents?@42..:[text] Type:text Description:text InUse:bool
    Shared:bool Size:int CreatedAt:time LastUsedAt:time~ UsageCount:int
Hit
    star_count:int is_official:bool name:text is_automated:bool description:text
Distribution
    Descriptor:Descriptor Platforms:[Platform]
Descriptor
    mediaType?:text digest?:digest size?:int
Platform
    architecture:text os:text variant?:text
LoggedIn
    Status:text IdentityToken?:text
";

/// Of volumes, networks and the engine itself.
pub const ENGINE: &str = r#"
Error
    message:text

Volume
    CreatedAt?:time Driver:text Labels:{text}~ Mountpoint:text Name:text Options:{text}~
    Scope:"local|global" Status?:{any} UsageData?:VolumeUsage
VolumeUsage
    RefCount:int Size:int
Volumes
    Volumes:[Volume] Warnings:[text]~
VolumesPruned
    VolumesDeleted:[text]~ SpaceReclaimed:int

NetworkMade
    Id:id Warning:text
Network
    Name:text Id:id Created:time Scope:"local|swarm|global" Driver:text EnableIPv4:bool
    EnableIPv6:bool IPAM:Ipam Internal:bool Attachable:bool Ingress:bool
    ConfigFrom:ConfigFrom ConfigOnly:bool Containers:{Member} Options:{text}~ Labels:{text}~
Ipam
    Driver:text Options:{text}~ Config:[IpamRange]~
IpamRange
    Subnet:text IPRange?:text Gateway?:text AuxiliaryAddresses?:{text}
ConfigFrom
    Network:text
Member
    Name:text EndpointID:id MacAddress:text IPv4Address:text IPv6Address:text
NetworksPruned
    NetworksDeleted:[text]~

Event
    status?:text id?:text from?:text Type:text Action:text Actor:Actor scope:"local|swarm"
    time:int timeNano:int
Actor
    ID:text Attributes:{text}

Version
    Platform:PlatformName Components:[Component] Version:text ApiVersion:text
    MinAPIVersion:text GitCommit:text GoVersion:text Os:text Arch:text KernelVersion:text
    Experimental?:bool BuildTime:text
PlatformName
    Name:text
Component
    Name:text Version:text Details:{text}

Info
    ID:text Containers:int ContainersRunning:int ContainersPaused:int ContainersStopped:int
    Images:int Driver:text DriverStatus:[[text]] Plugins:InfoPlugins MemoryLimit:bool
    SwapLimit:bool CpuCfsPeriod:bool CpuCfsQuota:bool CPUShares:bool CPUSet:bool
    KernelMemory?@..41:bool
    KernelMemoryTCP?:bool PidsLimit:bool IPv4Forwarding:bool Debug:bool NFd:int
    OomKillDisable:bool NGoroutines:int SystemTime:time LoggingDriver:text CgroupDriver:text
    CgroupVersion:text NEventsListener:int KernelVersion:text OperatingSystem:text
    OSVersion:text OSType:text Architecture:text IndexServerAddress:text
    RegistryConfig:Registries NCPU:int MemTotal:int GenericResources:[any]~
    DockerRootDir:text HttpProxy:text HttpsProxy:text NoProxy:text Name:text Labels:[text]
    ExperimentalBuild:bool ServerVersion:text Runtimes:{Runtime} DefaultRuntime:text
    Swarm:Swarm LiveRestoreEnabled:bool Isolation:text InitBinary:text
    ContainerdCommit:Commit RuncCommit:Commit InitCommit:Commit SecurityOptions:[text]
    FirewallBackend?@49..:Firewall CDISpecDirs:[text] Warnings:[text]~
    Containerd?@46..:any DiscoveredDevices?@50..:[any] ProductLicense?:text
    DefaultAddressPools?:[any] BridgeNfIptables@..49:bool BridgeNfIp6tables@..49:bool
InfoPlugins
    Volume:[text] Network:[text] Authorization:[text]~ Log:[text]
Registries
    IndexConfigs:{Index} InsecureRegistryCIDRs:[text] Mirrors:[text]~
    AllowNondistributableArtifactsCIDRs@..46:[text]~
    AllowNondistributableArtifactsHostnames@..46:[text]~
Index
    Mirrors:[text] Name:text Official:bool Secure:bool
Runtime
    path?:text runtimeArgs?:[text] status?@44..:{text}
Swarm
    NodeID:text NodeAddr:text LocalNodeState:text ControlAvailable:bool Error:text
    RemoteManagers:[any]~
Commit
    ID:text Expected?@..48:text
Firewall
    Driver:text Info?:[[text]]

DiskUsage
    LayersSize:int Images?:[ImageRow]~ Containers?:[ContainerRow]~ Volumes?:[Volume]~
    BuildCache?:[BuildCache]~ BuilderSize?@..41:int
Plugin
    Name:text
"#;
